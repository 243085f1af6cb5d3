/**
 * The filter that takes every frame that comes in at an interface: IPv4, IPv6, ARP, tagged ones,
 * and those too short to be anything. `matchall` where the kernel has it (cls_matchall, Linux
 * 4.8), else `u32`. Both hang below the same qdisc and carry the same actions, so whoever turns an
 * action or removes the qdisc need not know which one it is.
 */
import { OperationError } from '../../host/errors.ts';
import { batch, type Classifier, type Run } from './tools.ts';

/**
 * u32 compares words at offsets from the network header, and a frame that ends before a word does
 * not match, even where nothing of the word is compared (net/sched/cls_u32.c, u32_classify: no
 * data from skb_header_pointer means no match): at offset 0 a frame with fewer than four bytes
 * behind its Ethernet header would pass unheld. The four bytes before that offset are the end of
 * the Ethernet header, which every frame has; a tagged one, too, because its tag is taken out of
 * the header before (skb_vlan_untag in __netif_receive_skb_core, net/core/dev.c).
 */
const words = {
  matchall: ['matchall'],
  u32: ['u32', 'match', 'u32', '0', '0', 'at', '-4'],
} as const satisfies Record<Classifier, readonly string[]>;

export class EveryFrame {
  readonly #run: Run;
  readonly #onNews: (text: string) => void;
  #classifier: Classifier;
  /** Whether it was seen to work: matchall is tried before it is relied upon. */
  #isKnown: boolean;

  /** `classifier`: what this kernel seems to have; `onNews`: it turned out otherwise. */
  constructor(run: Run, classifier: Classifier, onNews: (text: string) => void) {
    this.#run = run;
    this.#classifier = classifier;
    this.#isKnown = classifier === 'u32';
    this.#onNews = onNews;
  }

  /**
   * Makes the ingress qdisc of `name` and its one filter, with the words of its action. Where tc
   * or the kernel refuses matchall, it is u32 from now on. Throws as `batch` does.
   */
  async add(name: string, action: readonly string[], doing: string): Promise<void> {
    const qdisc = ['qdisc', 'add', 'dev', name, 'clsact'];
    const put = (classifier: Classifier, before: readonly string[][] = []) => {
      const filter = ['filter', 'add', 'dev', name, 'ingress', 'protocol', 'all', 'prio', '1'];
      const lines = [...before, [...filter, ...words[classifier], ...action]];
      return batch(this.#run, 'tc', lines, doing);
    };
    if (this.#isKnown) return put(this.#classifier, [qdisc]);
    // By itself: it is not the filter that a refusal of this one is about.
    await batch(this.#run, 'tc', [qdisc], doing);
    try {
      await put('matchall');
    } catch (error) {
      if (!(error instanceof OperationError) || error.code !== 'no-buffer') throw error;
      // What was wrong may have been another thing: then u32 meets it, too, and says it.
      await put('u32');
      this.#classifier = 'u32';
      this.#onNews(`${error.message}; u32 takes every frame instead of matchall`);
    }
    this.#isKnown = true;
  }
}
