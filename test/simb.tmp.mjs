// test/sim/main.ts
import { parseArgs } from "node:util";

// src/core/invariant.ts
var InvariantError = class extends Error {
  name = "InvariantError";
};
function invariant(condition, words) {
  if (!condition) throw new InvariantError(words);
}
function unreachable(value) {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`);
}

// src/core/limits.ts
var heartbeatsRememberedMax = 64;
var freshAskMs = 2e4;
var asksWaitingMax = 16;
var askWaitsMs = 1e4;
var failoversWaitingMax = 8;
var recordRetryMs = 500;
var unpauseRetryMs = 1e3;
var discardRetryMs = 1e3;
var saveEndMs = 1e4;
var reasonCharsMax = 400;
var heartbeatTimeoutMsMin = 100;
var heartbeatTimeoutMsMax = 6e5;
var holdMsMax = 6e5;
var intervalMsMax = 36e5;
var pendingMaxMax = 64;
var autoMinMsDefault = 20;
var autoMaxMsDefault = 1e3;
var overheadDefault = 0.2;
var overheadMin = 0.01;
var overheadMax = 0.9;
var overheadRunMsMax = 1e4;
var epochPagesMax = 2048;
var progressMsMin = 3e4;
var askEveryMsMin = 10;
var askEveryMsMax = 6e4;
function timingProblem(timing) {
  return rangeProblem(
    "heartbeat timeout",
    timing.heartbeatTimeoutMs,
    heartbeatTimeoutMsMin,
    heartbeatTimeoutMsMax
  ) ?? rangeProblem("hold", timing.holdMs, 0, holdMsMax);
}
function primaryConfigProblem(config) {
  return timingProblem(config) ?? scheduleProblem(config.schedule) ?? rangeProblem("epochs in flight", config.pendingMax, 1, pendingMaxMax, "") ?? rangeProblem("pause between asks", config.askEveryMs, askEveryMsMin, askEveryMsMax);
}
function scheduleProblem(schedule) {
  if (schedule.kind === "fixed") {
    return rangeProblem("interval", schedule.intervalMs, 0, intervalMsMax);
  }
  const { minMs, maxMs, maxOverhead } = schedule;
  const periods = rangeProblem("shortest period", minMs, 0, intervalMsMax) ?? rangeProblem("longest period", maxMs, minMs, intervalMsMax);
  if (periods !== null) return periods;
  if (maxOverhead >= overheadMin && maxOverhead <= overheadMax) return null;
  return `overhead is ${maxOverhead}, must be from ${overheadMin} to ${overheadMax}`;
}
var defaultSchedule = {
  kind: "auto",
  minMs: autoMinMsDefault,
  maxMs: autoMaxMsDefault,
  maxOverhead: overheadDefault
};
function boundedReason(reason) {
  return reason.length <= reasonCharsMax ? reason : `${reason.slice(0, reasonCharsMax - 1)}\u2026`;
}
function rangeProblem(name, value, min, max, unit = " ms") {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return null;
  return `${name} is ${value}${unit}, must be a whole number from ${min} to ${max}`;
}

// src/core/permission/record.ts
function canMove(from, to) {
  switch (from) {
    case "standby":
      return to === "activating" || to === "promised";
    case "activating":
      return to === "active" || to === "promised";
    case "active":
    case "promised":
      return false;
  }
}
function answerOf(record) {
  if (record === null) return { kind: "unknown" };
  switch (record.permission) {
    case "promised":
      return { kind: "promised" };
    case "active":
      return { kind: "active", running: record.running };
    // Undecided: nothing was promised yet.
    case "standby":
    case "activating":
      return { kind: "activating" };
  }
}
function askWithoutOwner(record) {
  if (record === null) return { kind: "answer", answer: { kind: "unknown" } };
  switch (record.permission) {
    case "standby":
      return {
        kind: "give-up",
        steps: [
          { do: "record-promise", from: "standby" },
          { do: "destroy-copy", which: "waiting" }
        ]
      };
    case "activating":
      return {
        kind: "give-up",
        steps: [
          { do: "destroy-copy", which: "waiting-or-built" },
          { do: "record-promise", from: "activating" }
        ]
      };
    case "active":
      if (!record.running) return { kind: "finish-activation" };
      return { kind: "answer", answer: answerOf(record) };
    case "promised":
      return { kind: "answer", answer: answerOf(record) };
  }
}
function answerAfter(permission2) {
  return permission2 === "promised" ? { kind: "promised" } : { kind: "activating" };
}

// src/core/vocabulary.ts
function heartbeatEveryMs(timing) {
  return Math.max(10, Math.floor(timing.heartbeatTimeoutMs / 10));
}
function progressMs(timing) {
  return Math.max(progressMsMin, 10 * timing.heartbeatTimeoutMs);
}
function leaseMs(timing) {
  return Math.floor(timing.heartbeatTimeoutMs * 0.6);
}

// src/core/backup/state.ts
function initialBackup(config, nowMs = 0) {
  const problem = timingProblem(config) ?? (config.parts.length === 0 ? "no parts" : null);
  invariant(problem === null, problem ?? "");
  return {
    config,
    phase: "connecting",
    nowMs,
    link: "connecting",
    linkClosedAtMs: nowMs,
    linkReason: null,
    heardAtMs: nowMs,
    echoedAtMs: nowMs,
    parts: Object.fromEntries(config.parts.map((part) => [part, -1])),
    whole: -1,
    acked: -1,
    echoWaiting: null,
    record: "standby",
    writing: null,
    nextWriteAtMs: nowMs,
    recordProblem: null,
    goal: null,
    copy: "receiving",
    copyProblem: null,
    nextUnpauseAtMs: nowMs,
    nextDiscardAtMs: nowMs,
    asks: [],
    failovers: [],
    outcome: null
  };
}
function silenceMs(state) {
  const { buffered } = state.config;
  const sinceMs = buffered ? state.heardAtMs : Math.max(state.heardAtMs, state.echoedAtMs);
  return state.nowMs - sinceMs;
}
function phaseOf(state) {
  if (state.outcome !== null) return "ended";
  if (state.link === "connecting") return "connecting";
  if (state.record === "active") return "active";
  if (state.goal?.kind === "activate") return "activating";
  if (state.goal !== null) return "leaving";
  return state.acked >= 0 ? "standby" : "seeding";
}
var calmBeats = 3;
function backupWakeAtMs(state) {
  if (state.phase === "ended") return null;
  const { heartbeatTimeoutMs, holdMs } = state.config;
  const beatMs = heartbeatEveryMs(state.config);
  const isQuiet = state.link !== "open" || silenceMs(state) >= 2 * beatMs;
  const wakes = [
    state.nowMs + (isQuiet ? beatMs : calmBeats * beatMs),
    state.nowMs - silenceMs(state) + heartbeatTimeoutMs,
    state.heardAtMs + heartbeatTimeoutMs + holdMs,
    state.linkClosedAtMs + holdMs,
    state.nextWriteAtMs,
    state.nextUnpauseAtMs,
    state.nextDiscardAtMs
  ];
  return Math.min(...wakes.filter((wakeMs) => wakeMs > state.nowMs));
}
function leastWhole(parts2) {
  return Math.min(...Object.values(parts2));
}
function checkBackup(before, after, event, effects) {
  invariant(after.acked <= after.whole, "B1 acked <= whole");
  invariant(after.whole === leastWhole(after.parts), "B1 whole is the least of the parts");
  invariant(before.acked <= after.acked, "B1 acked grows");
  checkWrites(before, after, event, effects);
  const acks = effects.filter((effect) => effect.kind === "send-ack");
  invariant(acks.length === after.acked - before.acked, "B1 every epoch is acknowledged once");
  const commits = effects.filter((effect) => effect.kind === "commit");
  const toCommit = acks.filter((ack) => ack.epoch > 0);
  invariant(commits.length === toCommit.length, "B1 acknowledged epochs are committed");
  for (const [index, commit] of commits.entries()) {
    const ack = toCommit[index];
    invariant(commit.epoch === ack?.epoch, "B1 committed in order");
    invariant(effects.indexOf(commit) > effects.indexOf(ack), "B1 ack first");
  }
  for (const effect of effects) checkEffect(after, effect);
  const ends = effects.filter((effect) => effect.kind === "end").length;
  invariant(ends === (after.phase === "ended" && before.phase !== "ended" ? 1 : 0), "B7 one end");
  invariant(ends === 0 || effects.at(-1)?.kind === "end", "B7 end is last");
}
function checkWrites(before, after, event, effects) {
  const isResult = event.kind === "record" || event.kind === "record-failed";
  const writes = effects.filter((effect) => effect.kind === "write-record").length;
  invariant(before.writing === null || isResult || writes === 0, "B6 one write at a time");
  invariant(writes <= 1, "B6 one write in a step");
  const isKept = before.writing !== null && !isResult && after.writing === before.writing;
  invariant(after.writing === null || writes === 1 || isKept, "B6 a write without its effect");
}
function checkEffect(after, effect) {
  switch (effect.kind) {
    case "send-ack":
    case "commit":
    case "send-echo":
      invariant(after.record === "standby", `B2 ${effect.kind}: record`);
      invariant(after.writing === null, `B2 ${effect.kind}: writing`);
      invariant(after.goal === null, `B2 ${effect.kind}: decided`);
      return;
    case "write-record":
      invariant(effect.from === after.record, "B6 from");
      invariant(effect.to === after.writing, "B6 to");
      invariant(canMove(effect.from, effect.to), "B6 transition table");
      if (effect.from === "activating" && effect.to === "promised") {
        invariant(after.copy === "gone", "B5 promised before the copy is gone");
      }
      return;
    case "build-copy":
      invariant(after.record === "activating", "B3 build");
      invariant(effect.epoch === after.acked, "B8 the last acknowledged epoch");
      invariant(effect.epoch >= 0, "B8 a whole epoch");
      return;
    case "unpause-copy":
    case "note-running":
    case "send-activated":
      invariant(after.record === "active", `B3 ${effect.kind}`);
      return;
    case "discard-copy":
      invariant(after.record !== "active", "B5 discards an active copy");
      return;
    case "answer":
      invariant(effect.answer.kind !== "promised" || after.record === "promised", "B4 promised");
      invariant(effect.answer.kind !== "active" || after.record === "active", "B4 active");
      return;
    case "send-copy-lost":
      invariant(after.record === "promised", "B4 copy-lost");
      return;
    case "end":
      invariant(effect.outcome === after.outcome, "B7 outcome");
      return;
    case "failover-answer":
    case "close-link":
      return;
  }
}

// src/core/backup/work.ts
function work(state, isTick, effects) {
  if (state.link === "connecting") return state;
  const next = state.goal === null ? choose(state, isTick) : state;
  if (next.goal === null) return flow(next, effects);
  return next.goal.kind === "activate" ? activate(next, effects) : giveUp(next, effects);
}
function choose(state, isTick) {
  const { nowMs, config } = state;
  if (state.copyProblem !== null) {
    return { ...state, goal: { kind: "lose", reason: state.copyProblem } };
  }
  if (state.acked < 0) return chooseInSeed(state, isTick);
  if (nowMs < state.nextWriteAtMs) return state;
  if (state.asks.length > 0) return { ...state, goal: { kind: "promise" } };
  const why = whyActivate(state, isTick, config.holdMs);
  return why === null ? state : { ...state, goal: { kind: "activate", why } };
}
function whyActivate(state, isTick, holdMs) {
  if (state.failovers.length > 0) return "the administrator ordered it";
  if (!isTick) return null;
  if (state.link === "open") {
    const silentMs2 = Math.round(silenceMs(state));
    return silentMs2 >= state.config.heartbeatTimeoutMs ? `silence of ${silentMs2} ms` : null;
  }
  if (!state.config.buffered || state.nowMs < state.linkClosedAtMs + holdMs) return null;
  return `the link ended (${state.linkReason}) and nobody asked for ${holdMs} ms`;
}
function chooseInSeed(state, isTick) {
  const { heartbeatTimeoutMs, holdMs } = state.config;
  if (state.link === "closed") {
    return { ...state, goal: { kind: "never-whole", reason: state.linkReason ?? "link closed" } };
  }
  if (state.asks.length > 0) return { ...state, goal: { kind: "promise" } };
  const silentMs2 = Math.round(state.nowMs - state.heardAtMs);
  if (!isTick || silentMs2 < heartbeatTimeoutMs + holdMs) return state;
  return { ...state, goal: { kind: "never-whole", reason: `silence of ${silentMs2} ms` } };
}
function flow(state, effects) {
  if (state.acked === state.whole && state.echoWaiting === null) return state;
  for (let epoch = state.acked + 1; epoch <= state.whole; epoch += 1) {
    effects.push({ kind: "send-ack", epoch });
    if (epoch > 0) effects.push({ kind: "commit", epoch });
  }
  const flown = { ...state, acked: state.whole };
  if (state.echoWaiting === null || state.link !== "open") return flown;
  effects.push({ kind: "send-echo", seq: state.echoWaiting });
  return { ...flown, echoWaiting: null, echoedAtMs: state.nowMs };
}
function activate(state, effects) {
  if (state.writing !== null) return state;
  switch (state.record) {
    case "standby":
      return write(state, "activating", effects);
    case "activating":
      if (state.copy === "failed") {
        const reason = state.copyProblem ?? "the copy could not be built";
        return giveUp({ ...state, goal: { kind: "lose", reason } }, effects);
      }
      if (state.copy === "built") return write(state, "active", effects);
      if (state.copy !== "receiving") return state;
      effects.push({ kind: "build-copy", epoch: state.acked });
      return { ...state, copy: "building" };
    case "active":
      if (state.copy === "running") return finishActivated(state, effects);
      if (state.copy !== "built" || state.nowMs < state.nextUnpauseAtMs) return state;
      effects.push({ kind: "unpause-copy" });
      return { ...state, copy: "starting" };
    case "promised":
      return giveUp({ ...state, goal: { kind: "promise" } }, effects);
    default:
      return unreachable(state.record);
  }
}
function giveUp(state, effects) {
  if (state.writing !== null) return state;
  switch (state.record) {
    case "standby": {
      const isOver = state.link === "closed" || state.goal?.kind === "never-whole";
      const isHopeless = isOver && state.acked < 0;
      if (isHopeless && state.recordProblem !== null) return discard(state, effects);
      return write(state, "promised", effects);
    }
    case "activating":
      return state.copy === "gone" ? write(state, "promised", effects) : discard(state, effects);
    case "promised":
      return discard(state, effects);
    case "active":
      return state;
    // unreachable: `active` sets the goal back
    default:
      return unreachable(state.record);
  }
}
function write(state, to, effects) {
  if (state.nowMs < state.nextWriteAtMs) return state;
  const why = describeGoal(state);
  effects.push({ kind: "write-record", from: state.record, to, epoch: state.acked, why });
  return { ...state, writing: to };
}
function describeGoal(state) {
  const { goal } = state;
  invariant(goal !== null, "writes without a goal");
  switch (goal.kind) {
    case "activate":
      return goal.why;
    case "promise":
      return "the primary asked for it";
    case "lose":
      return `the copy is lost: ${goal.reason}`;
    case "never-whole":
      return `the seed never completed: ${goal.reason}`;
    default:
      return unreachable(goal);
  }
}
function discard(state, effects) {
  if (state.copy === "discarding") return state;
  if (state.copy === "gone") return finish(state, outcomeOf(state), effects);
  if (state.nowMs < state.nextDiscardAtMs) return state;
  effects.push({ kind: "discard-copy" });
  return { ...state, copy: "discarding" };
}
function outcomeOf(state) {
  const { goal } = state;
  if (goal?.kind === "lose") return { kind: "copy-lost", reason: goal.reason };
  if (goal?.kind === "never-whole") return { kind: "never-whole", reason: goal.reason };
  if (state.record === "promised") return { kind: "promised" };
  return { kind: "never-whole", reason: state.linkReason ?? "the seed never completed" };
}
function finishActivated(state, effects) {
  const why = describeGoal(state);
  effects.push({ kind: "note-running" }, { kind: "send-activated" });
  return finish(state, { kind: "activated", epoch: state.acked, why }, effects);
}
function finish(state, outcome, effects) {
  if (state.link === "open") effects.push({ kind: "close-link" });
  effects.push({ kind: "end", outcome });
  return { ...state, outcome, link: "closed" };
}

// src/core/backup/backup.ts
function stepBackup(before, event) {
  if (before.phase === "ended") return { state: before, effects: [] };
  const effects = [];
  let state = { ...before, nowMs: Math.max(before.nowMs, event.nowMs) };
  state = onEvent(state, event, effects);
  state = work(state, event.kind === "tick", effects);
  state = { ...state, phase: phaseOf(state) };
  checkBackup(before, state, event, effects);
  return { state, effects };
}
function onEvent(state, event, effects) {
  switch (event.kind) {
    case "tick":
      return onTick(state, event.stalledMs);
    case "link-open":
      return onLinkOpen(state);
    case "bytes":
      return heard(state);
    case "heartbeat":
      return { ...heard(state), echoWaiting: event.seq };
    case "epoch-whole":
      return onEpochWhole(state, event, effects);
    case "corrupt":
      return onCorrupt(state, event.reason, effects);
    case "link-closed":
      return onLinkClosed(state, event.reason);
    case "ask":
      return onAsk(state, event, effects);
    case "copy-failed":
      return onCopyFailed(state, event.reason);
    case "record":
      return onRecord(state, event.permission, effects);
    case "record-failed":
      return onRecordFailed(state, event.reason, effects);
    case "built":
      invariant(state.copy === "building", "built what was not being built");
      return { ...state, copy: state.copyProblem === null ? "built" : "failed" };
    case "build-failed":
      invariant(state.copy === "building", "failed to build what was not being built");
      return { ...state, copy: "failed", copyProblem: boundedReason(event.reason) };
    case "running":
      invariant(state.copy === "starting", "runs without having been unpaused");
      return { ...state, copy: "running", copyProblem: null };
    case "unpause-failed":
      return onUnpauseFailed(state, event.reason);
    case "discarded":
      invariant(state.copy === "discarding", "discarded what was not to be");
      return { ...state, copy: "gone" };
    case "discard-failed":
      return onDiscardFailed(state, event.reason);
    case "failover":
      return onFailover(state, event.token, effects);
    default:
      return unreachable(event);
  }
}
function onTick(state, stalledMs) {
  const { nowMs } = state;
  const later = (atMs) => Math.min(nowMs, atMs + Math.max(0, stalledMs));
  return {
    ...state,
    heardAtMs: later(state.heardAtMs),
    echoedAtMs: later(state.echoedAtMs),
    linkClosedAtMs: later(state.linkClosedAtMs),
    asks: state.asks.filter((ask) => nowMs - ask.atMs < askWaitsMs)
  };
}
function onLinkOpen(state) {
  if (state.link !== "connecting") return state;
  return { ...state, link: "open", heardAtMs: state.nowMs, echoedAtMs: state.nowMs };
}
function heard(state) {
  return state.link === "open" ? { ...state, heardAtMs: state.nowMs } : state;
}
function onEpochWhole(state, { part, epoch }, effects) {
  if (state.link !== "open") return state;
  const last = state.parts[part];
  invariant(last !== void 0, `no epoch has a part ${part}`);
  if (epoch !== last + 1) {
    return onCorrupt(state, `epoch ${epoch} came after epoch ${last}`, effects);
  }
  const parts2 = { ...state.parts, [part]: epoch };
  return { ...heard(state), parts: parts2, whole: leastWhole(parts2) };
}
function onCorrupt(state, reason, effects) {
  if (state.link === "closed") return state;
  effects.push({ kind: "close-link" });
  return onLinkClosed(state, `the stream is broken: ${boundedReason(reason)}`);
}
function onLinkClosed(state, reason) {
  if (state.link === "closed") return state;
  return {
    ...state,
    link: "closed",
    linkClosedAtMs: state.nowMs,
    linkReason: boundedReason(reason),
    echoWaiting: null
  };
}
function onAsk(state, event, effects) {
  const { way, token } = event;
  const next = way === "link" ? heard(state) : state;
  if (next.record === "promised") {
    effects.push({ kind: "answer", way, token, answer: { kind: "promised" } });
    return next;
  }
  if (next.record === "active") {
    const running = next.copy === "running";
    effects.push({ kind: "answer", way, token, answer: { kind: "active", running } });
    return next;
  }
  if (next.goal?.kind === "activate") {
    effects.push({ kind: "answer", way, token, answer: { kind: "activating" } });
    return next;
  }
  const asks = [...next.asks, { way, token, atMs: next.nowMs }].slice(-asksWaitingMax);
  return { ...next, asks };
}
function onCopyFailed(state, from) {
  const reason = boundedReason(from);
  switch (state.copy) {
    case "building":
      return { ...state, copyProblem: reason };
    case "receiving":
    case "built":
      if (state.record === "active") return { ...state, copyProblem: reason };
      return { ...state, copy: "failed", copyProblem: reason };
    case "starting":
    case "running":
      return { ...state, copyProblem: reason };
    case "failed":
    case "discarding":
    case "gone":
      return state;
  }
}
function onRecord(state, permission2, effects) {
  invariant(state.writing !== null, "B6 a result without a write");
  if (permission2 === state.record) {
    return onRecordFailed(state, `the record still says ${permission2}`, effects);
  }
  const next = {
    ...state,
    record: permission2,
    writing: null,
    recordProblem: null,
    nextWriteAtMs: state.nowMs
  };
  switch (permission2) {
    case "standby":
      return onRecordFailed(state, "the record says standby again", effects);
    case "activating":
      return answerFailovers(next, null, effects);
    case "active": {
      const why = next.goal?.kind === "activate" ? next.goal.why : "the record says active";
      return answerFailovers({ ...next, goal: { kind: "activate", why } }, null, effects);
    }
    case "promised":
      return onPromised(next, effects);
    default:
      return unreachable(permission2);
  }
}
function onPromised(state, effects) {
  for (const { way, token } of state.asks) {
    effects.push({ kind: "answer", way, token, answer: { kind: "promised" } });
  }
  if (state.goal?.kind === "lose") {
    effects.push({ kind: "send-copy-lost", reason: state.goal.reason });
  }
  const refused = "the primary has the promise that this copy will not run";
  return answerFailovers({ ...state, asks: [] }, refused, effects);
}
function onRecordFailed(state, from, effects) {
  invariant(state.writing !== null, "B6 a failure without a write");
  const reason = boundedReason(from);
  const failed = {
    ...state,
    writing: null,
    recordProblem: reason,
    nextWriteAtMs: state.nowMs + recordRetryMs
  };
  if (failed.record !== "standby" || failed.acked < 0) return failed;
  switch (failed.goal?.kind) {
    case "activate":
      return answerFailovers({ ...failed, goal: null }, `the record: ${reason}`, effects);
    case "promise":
      return { ...failed, goal: null };
    default:
      return failed;
  }
}
function onUnpauseFailed(state, from) {
  invariant(state.copy === "starting", "failed to unpause what was not being unpaused");
  const nextUnpauseAtMs = state.nowMs + unpauseRetryMs;
  return { ...state, copy: "built", copyProblem: boundedReason(from), nextUnpauseAtMs };
}
function onDiscardFailed(state, from) {
  invariant(state.copy === "discarding", "failed to discard what was not to be");
  const nextDiscardAtMs = state.nowMs + discardRetryMs;
  return { ...state, copy: "failed", copyProblem: boundedReason(from), nextDiscardAtMs };
}
function onFailover(state, token, effects) {
  const refused = failoverRefusal(state);
  const isUnderWay = state.record === "activating" || state.record === "active";
  if (refused !== null || isUnderWay) {
    effects.push({ kind: "failover-answer", token, refused });
    return state;
  }
  return { ...state, failovers: [...state.failovers, token] };
}
function failoverRefusal(state) {
  const { heartbeatTimeoutMs, buffered } = state.config;
  if (state.failovers.length >= failoversWaitingMax) return "others are waiting for the same";
  if (state.record === "active" || state.goal?.kind === "activate") return null;
  if (state.record === "promised") return "the primary has the promise that this copy will not run";
  if (state.goal !== null) return "this copy is being given up";
  if (state.acked < 0) return "the seed is not complete: there is nothing whole to activate";
  if (state.copyProblem !== null) return `the copy is lost: ${state.copyProblem}`;
  if (state.asks.length > 0) return "the primary is asking for the promise: it is alive";
  const heardMs = state.nowMs - state.heardAtMs;
  if (state.link === "open" && heardMs < heartbeatTimeoutMs) {
    return `the primary was heard ${Math.round(heardMs)} ms ago`;
  }
  if (!buffered && silenceMs(state) < heartbeatTimeoutMs) {
    return `the primary's guest may still run; try again in ${heartbeatTimeoutMs} ms`;
  }
  return null;
}
function answerFailovers(state, refused, effects) {
  if (state.failovers.length === 0) return state;
  for (const token of state.failovers) effects.push({ kind: "failover-answer", token, refused });
  return { ...state, failovers: [] };
}

// src/core/scheduler.ts
var noPace = { pauseMs: null, pagesPerMs: null };
var noOutput = { packets: 0, bytes: 0, nearLimit: false };
var pauseWeight = 0.25;
function nextCheckpointAtMs(facts, pendingMax) {
  if (facts.acked < 0) return null;
  if (facts.requested > facts.drained) return null;
  if (isDeferred(facts, pendingMax)) return null;
  const pending = facts.drained - facts.acked;
  const { schedule, pace, output, drainedAtMs } = facts;
  const isBarrierFree = pending === 0;
  if (output.nearLimit && isBarrierFree) return drainedAtMs;
  if (schedule.kind === "fixed") {
    return (isBarrierFree ? facts.committedAtMs : drainedAtMs) + schedule.intervalMs;
  }
  const isAwaited = output.packets > 0 && isBarrierFree;
  const wishedMs = isAwaited ? schedule.minMs : unhurriedMs(pace, schedule.minMs, schedule.maxMs);
  return drainedAtMs + Math.max(wishedMs, overheadRunMs(pace, schedule.maxOverhead));
}
function isDeferred(facts, pendingMax) {
  return facts.acked >= 0 && facts.drained - facts.acked >= pendingMax;
}
function nextPace(pace, ranMs, pauseMs, pages) {
  const before = pace.pauseMs ?? pauseMs;
  return {
    pauseMs: before + pauseWeight * (pauseMs - before),
    pagesPerMs: pages / Math.max(1, ranMs)
  };
}
function lateAfterMs(schedule, pace, heartbeatTimeoutMs) {
  const runMs = schedule.kind === "fixed" ? schedule.intervalMs : Math.max(schedule.maxMs, overheadRunMs(pace, schedule.maxOverhead));
  return Math.ceil(2 * (runMs + (pace.pauseMs ?? 0)) + 2 * heartbeatTimeoutMs);
}
function unhurriedMs(pace, minMs, maxMs) {
  if (pace.pagesPerMs === null) return minMs;
  return Math.min(maxMs, Math.max(minMs, epochPagesMax / pace.pagesPerMs));
}
function overheadRunMs(pace, maxOverhead) {
  return Math.min(overheadRunMsMax, (pace.pauseMs ?? 0) * (1 / maxOverhead - 1));
}

// src/core/texts/quote.ts
function quoteWord(word) {
  if (/^[A-Za-z0-9_./:@%+=,-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}
function quoteWords(words) {
  return words.map(quoteWord).join(" ");
}
function hostWord(peer) {
  return peer === "" || /[\s=/;|&]/.test(peer) ? "the other host" : peer;
}

// src/core/texts/advice.ts
function tsremus(words, why = null) {
  return { words: ["tsremus", ...words], why };
}
function neverRan(peer = null) {
  const copy = peer === null ? "the copy" : `the copy on ${hostWord(peer)}`;
  return `${copy} never ran and never will`;
}
var lines = {
  again: ({ argv }) => tsremus(argv),
  protect: ({ domain }) => tsremus(["protect", domain, "HOST"]),
  "show-all": () => tsremus(["status"]),
  show: ({ domain }) => tsremus(["status", domain]),
  "show-there": ({ domain, peer }) => tsremus(["status", domain], `on ${hostWord(peer)}`),
  stop: ({ domain }) => tsremus(["stop", domain]),
  "stop-retry": ({ domain }) => tsremus(["stop", domain], "tries again; it may go on here"),
  "stop-ask-again": ({ domain, peer }) => tsremus(["stop", domain], `asks ${hostWord(peer)} once more`),
  "stop-ask-and-clear": ({ domain, peer }) => tsremus(["stop", domain], `asks ${hostWord(peer)}, and clears what is left here`),
  "stop-clear": ({ domain }) => tsremus(["stop", domain], "clears what is left here"),
  "stop-find-out": ({ domain }) => tsremus(["stop", domain], "clears it if the guest is gone; else says what may be done"),
  "stop-vouch": ({ domain, peer }) => tsremus(["stop", "--force-unsafe", domain], `only if ${neverRan(peer)}`),
  "stop-destroy": ({ domain }) => tsremus(["stop", "--destroy", domain], "drops what is held, destroys the guest"),
  "stop-seen": ({ domain }) => tsremus(["stop", domain], "here: seen"),
  "stop-leave-so": ({ domain }) => tsremus(["stop", domain], "seen, leave it so"),
  "stop-to-plug-in": ({ domain }) => tsremus(["stop", domain], "then protect it again, with all its interfaces"),
  "stop-here": ({ domain }) => tsremus(["stop", domain], "here: end protection"),
  "stop-there": ({ domain, peer }) => tsremus(["stop", domain], `on ${hostWord(peer)}: end protection there`),
  "stop-if-there": ({ domain, peer }) => tsremus(["stop", domain], `on ${hostWord(peer)}, if the guest runs there`),
  "failover-yes": ({ domain }) => tsremus(["failover", "--yes", domain]),
  "failover-here": ({ domain }) => tsremus(["failover", domain], "here: run the copy"),
  "failover-there": ({ domain, peer }) => tsremus(["failover", domain], `on ${hostWord(peer)}`),
  "failover-if-dead": ({ domain, peer }) => tsremus(["failover", domain], `here, if ${hostWord(peer)} is dead`),
  "set-there": ({ domain, settings, peer }) => tsremus(["set", domain, ...settings], `on ${hostWord(peer)}`),
  "list-guests": () => ({ words: ["xl", "list"], why: null }),
  "list-guest": ({ domain }) => ({ words: ["xl", "list", domain], why: null }),
  "unpause-guest": ({ domain }) => ({ words: ["xl", "unpause", domain], why: null }),
  "see-process": ({ pid }) => ({
    words: ["ps", "-o", "pid,stat,wchan:20,cmd", "-p", String(pid)],
    why: null
  }),
  "end-process": ({ pid }) => ({
    words: ["kill", String(pid)],
    why: "then again; a second time if it stays held"
  }),
  "free-record": ({ dir }) => ({
    words: ["df", "-h", dir],
    why: "the decision is recorded there"
  })
};
function lineOf(advice) {
  return lines[advice.kind](advice);
}
function adviceLine(advice) {
  const { words, why } = lineOf(advice);
  return why === null ? quoteWords(words) : `${quoteWords(words)}  # ${why}`;
}
function adviceLines(list) {
  return list.map(adviceLine);
}
function adviceCommand(advice) {
  return quoteWords(lineOf(advice).words);
}
function vouchClause(domain, peer) {
  const command = adviceCommand({ kind: "stop-vouch", domain, peer });
  return `if ${neverRan(peer)}, type: ${command}`;
}
var hints = {
  protectAnew: "tsremus protect DOMAIN HOST makes a new copy of the memory from the start",
  nameBackup: "name the backup as ssh knows it: tsremus protect DOMAIN HOST",
  withoutDisks: "tsremus protect -F -d ... does without it; see tsremus-protect(8) for the risk",
  notTyped: "this command is started by tsremus protect on the other host"
};

// src/core/primary/state.ts
function initialPrimary(config, nowMs = 0) {
  const problem = primaryConfigProblem(config);
  invariant(problem === null, problem ?? "");
  return {
    config,
    phase: "connecting",
    nowMs,
    link: "connecting",
    requested: 0,
    suspended: -1,
    drained: -1,
    sent: -1,
    acked: -1,
    released: -1,
    drainedAtMs: nowMs,
    committedAtMs: nowMs,
    schedule: config.schedule,
    pace: noPace,
    output: noOutput,
    progressAtMs: nowMs,
    beats: [],
    nextSeq: 1,
    nextBeatAtMs: nowMs,
    leaseFromMs: null,
    heardAtMs: nowMs,
    paused: false,
    guest: "here",
    saving: false,
    stopBy: null,
    guestEnded: null,
    lost: null,
    ask: null,
    lastAskId: 0,
    lastAskWay: "fresh",
    nextAskAtMs: nowMs,
    askNews: null,
    activeSeen: false,
    opened: null,
    outcome: null,
    decidedAtMs: nowMs
  };
}
function backupMayActivate(state) {
  return state.sent >= 0;
}
function isLeaseFresh(state) {
  return state.leaseFromMs !== null && state.nowMs - state.leaseFromMs <= leaseMs(state.config);
}
function isSilent(state) {
  const { heartbeatTimeoutMs, holdMs } = state.config;
  return state.link === "open" && state.nowMs - state.heardAtMs >= heartbeatTimeoutMs + holdMs;
}
function isStuck(state) {
  if (state.drained === state.acked || !isLeaseFresh(state)) return false;
  return state.nowMs - state.progressAtMs >= progressMs(state.config);
}
function isEnding(state) {
  return state.stopBy !== null || state.guestEnded !== null || state.lost !== null || state.activeSeen || state.link === "closed";
}
function wantsPromise(state) {
  return backupMayActivate(state) && (isEnding(state) || isSilent(state));
}
function badAck(state, epoch) {
  return `the backup acknowledged epoch ${epoch}, expected ${state.acked + 1} of ${state.drained}`;
}
function outcomeOnPromise(state) {
  if (state.guestEnded !== null) return { kind: "guest-ended", reason: state.guestEnded };
  if (state.stopBy !== null) return { kind: "stopped", by: state.stopBy };
  const reason = state.lost ?? "the backup gave its copy up while the link was silent";
  return { kind: "unprotected", reason };
}
function phaseOf2(state) {
  if (state.phase === "ended") return "ended";
  if (state.outcome !== null) return "leaving";
  if (state.link === "connecting") return "connecting";
  if (isEnding(state)) return state.link === "open" && !state.activeSeen ? "ending" : "held";
  return state.acked >= 0 ? "protected" : "seeding";
}
function primaryWakeAtMs(state) {
  if (state.phase === "ended") return null;
  const { config } = state;
  const wakes = [state.nowMs + heartbeatEveryMs(config)];
  if (state.outcome === null) {
    if (state.link === "open") wakes.push(state.nextBeatAtMs);
    if (state.leaseFromMs !== null) wakes.push(state.leaseFromMs + leaseMs(config) + 1);
    if (state.ask === null) wakes.push(state.nextAskAtMs);
    if (state.drained > state.acked) wakes.push(state.progressAtMs + progressMs(config));
    wakes.push(nextCheckpointAtMs(state, config.pendingMax) ?? 0);
  }
  return Math.min(...wakes.filter((wakeMs) => wakeMs > state.nowMs));
}
function checkPrimary(before, after, effects) {
  checkEpochs(after);
  invariant(!after.paused || !after.config.buffered, "P4 paused with a buffer");
  invariant(!after.paused || backupMayActivate(after), "P4 paused during the seed");
  invariant(before.opened === null || after.opened === before.opened, "P5 opened twice");
  invariant(before.outcome === null || after.outcome === before.outcome, "P8 outcome changed");
  invariant(after.outcome === null || after.ask === null, "P3 asks after the outcome");
  for (const effect of effects) checkEffect2(before, after, effect);
  const ends = effects.filter((effect) => effect.kind === "end").length;
  invariant(ends === (after.phase === "ended" && before.phase !== "ended" ? 1 : 0), "P8 one end");
  invariant(ends === 0 || effects.at(-1)?.kind === "end", "P8 end is last");
}
function checkEpochs(state) {
  const { requested, suspended, drained, sent, acked, released } = state;
  invariant(released <= acked, "P1 released <= acked");
  invariant(acked <= drained, "P1 acked <= drained");
  invariant(sent <= drained, "P1 sent <= drained");
  invariant(drained <= suspended, "P1 drained <= suspended");
  invariant(suspended <= requested, "P1 suspended <= requested");
  invariant(requested <= drained + 1, "P1 requested <= drained + 1");
  invariant(acked < 0 || requested - acked <= state.config.pendingMax, "P2 pendingMax");
}
function checkEffect2(before, after, effect) {
  switch (effect.kind) {
    case "release":
      invariant(before.outcome === null && after.outcome === null, "P3 release");
      invariant(effect.epoch === after.released, "P6 releases what is counted");
      invariant(isLeaseFresh(after), "P6 release without a lease");
      invariant(!after.activeSeen, "P6 release after active");
      return;
    case "take-checkpoint":
      invariant(after.phase === "protected", "P7 checkpoint while not protected");
      invariant(isLeaseFresh(after), "P7 checkpoint without a lease");
      invariant(!after.paused, "P7 checkpoint of a paused guest");
      return;
    case "pause-guest":
      invariant(after.outcome === null || after.activeSeen, "P3 pause");
      invariant(!before.paused && after.paused, "P4 paused twice");
      return;
    case "unpause-guest":
      invariant(before.paused && !after.paused, "P4 unpaused twice");
      return;
    case "open-buffer":
      invariant(before.opened === null && after.opened !== null, "P5 no permission");
      invariant(after.opened !== "never-whole" || !backupMayActivate(after), "P5 never whole");
      return;
    case "ask-promise":
      invariant(before.outcome === null, "P3 ask");
      return;
    case "destroy-guest":
      invariant(after.activeSeen, "P9 destroy");
      invariant(after.outcome?.kind === "taken-over", "P9 outcome");
      return;
    case "end":
      invariant(effect.outcome === after.outcome, "P8 outcome");
      return;
    case "send-heartbeat":
    case "abort-save":
    case "close-link":
      return;
  }
}

// src/core/primary/pump.ts
function pump(state, effects) {
  let next = pumpHeartbeat(state, effects);
  next = pumpPause(next, effects);
  next = pumpRelease(next, effects);
  next = pumpCheckpoint(next, effects);
  return pumpAsk(next, effects);
}
function pumpHeartbeat(state, effects) {
  if (state.link !== "open" || state.nowMs < state.nextBeatAtMs) return state;
  const seq = state.nextSeq;
  effects.push({ kind: "send-heartbeat", seq });
  const beats = [...state.beats, { seq, sentAtMs: state.nowMs }].slice(-heartbeatsRememberedMax);
  const nextBeatAtMs = state.nowMs + heartbeatEveryMs(state.config);
  return { ...state, beats, nextSeq: seq + 1, nextBeatAtMs };
}
function pumpPause(state, effects) {
  const mustPause = !state.config.buffered && state.guest === "here" && backupMayActivate(state) && (!isLeaseFresh(state) || state.activeSeen);
  if (mustPause === state.paused) return state;
  if (mustPause) {
    const reason = state.activeSeen ? "the copy goes on" : "the backup does not answer";
    effects.push({ kind: "pause-guest", reason });
  } else {
    effects.push({ kind: "unpause-guest" });
  }
  return { ...state, paused: mustPause };
}
function pumpRelease(state, effects) {
  if (state.acked === state.released || !isLeaseFresh(state) || state.activeSeen) return state;
  effects.push({ kind: "release", epoch: state.acked });
  return { ...state, released: state.acked, output: noOutput };
}
function pumpCheckpoint(state, effects) {
  if (state.phase !== "protected" || state.paused || !isLeaseFresh(state)) return state;
  const atMs = nextCheckpointAtMs(state, state.config.pendingMax);
  if (atMs === null || state.nowMs < atMs) return state;
  const epoch = state.requested + 1;
  effects.push({ kind: "take-checkpoint", epoch });
  return { ...state, requested: epoch };
}
function pumpAsk(state, effects) {
  if (!wantsPromise(state)) {
    if (state.ask === null && state.askNews === null) return state;
    return { ...state, ask: null, askNews: null };
  }
  if (state.ask !== null) {
    const waitMs = state.ask.way === "fresh" ? freshAskMs : state.config.heartbeatTimeoutMs;
    if (state.nowMs - state.ask.atMs < waitMs) return state;
  } else if (state.nowMs < state.nextAskAtMs) {
    return state;
  }
  const id = state.lastAskId + 1;
  const way = askWay(state);
  effects.push({ kind: "ask-promise", id, way });
  return { ...state, ask: { id, way, atMs: state.nowMs }, lastAskId: id, lastAskWay: way };
}
function askWay(state) {
  if (state.link !== "open" || !isEnding(state)) return "fresh";
  if (state.ask?.way === "link") return "fresh";
  if (isLeaseFresh(state)) return "link";
  return state.lastAskWay === "link" ? "fresh" : "link";
}

// src/core/primary/primary.ts
function stepPrimary(before, event) {
  if (before.phase === "ended") return { state: before, effects: [] };
  const effects = [];
  let state = { ...before, nowMs: Math.max(before.nowMs, event.nowMs) };
  state = onEvent2(state, event, effects);
  state = { ...state, phase: phaseOf2(state) };
  if (state.outcome === null) state = pump(state, effects);
  state = { ...state, phase: phaseOf2(state) };
  checkPrimary(before, state, effects);
  return { state, effects };
}
function onEvent2(state, event, effects) {
  switch (event.kind) {
    case "tick":
      return onTick2(state, effects);
    case "link-open":
      return onLinkOpen2(state);
    case "link-closed":
      return onLinkClosed2(state, event.reason, effects);
    case "echo":
      return onEcho(state, event.seq);
    case "checkpoint":
    case "drained":
    case "sent":
      return state.outcome === null ? onEpoch(state, event) : state;
    case "ack":
      return onAck(state, event.epoch, effects);
    case "progress":
      return { ...state, progressAtMs: state.nowMs };
    case "output": {
      const { packets, bytes, nearLimit } = event;
      return { ...state, output: { packets, bytes, nearLimit } };
    }
    case "set-schedule":
      return onSetSchedule(state, event.schedule);
    case "copy-lost":
      return onCopyLost(state, event.reason, effects);
    case "answer":
      return onAnswer(state, event, effects);
    case "ask-failed":
      return onAskFailed(state, event);
    case "stop":
      return onStop(state, event, effects);
    case "save-failed":
      return onSaveFailed(state, event.reason, effects);
    case "guest-ended":
      return onGuestEnded(state, event.reason, effects);
    case "save-ended":
      return onSaveEnded(state, effects);
    default:
      return unreachable(event);
  }
}
function onTick2(state, effects) {
  if (state.outcome?.kind === "taken-over" && state.nowMs - state.decidedAtMs >= saveEndMs) {
    return finish2(state, effects);
  }
  if (state.outcome === null && isSilent(state) && !backupMayActivate(state)) {
    const silenceMs2 = state.nowMs - state.heardAtMs;
    return neverProtected(state, `the backup was silent for ${silenceMs2} ms`, effects);
  }
  if (state.outcome === null && state.lost === null && isStuck(state)) {
    const stuckMs2 = Math.round(state.nowMs - state.progressAtMs);
    const waiting = `epoch ${state.acked + 1} made no progress for ${stuckMs2} ms`;
    const reason = `the backup hangs: ${waiting}, although its heartbeats come`;
    if (!backupMayActivate(state)) return neverProtected(state, reason, effects);
    return { ...state, lost: reason, nextAskAtMs: state.nowMs };
  }
  return state;
}
function onLinkOpen2(state) {
  if (state.link !== "connecting") return state;
  const { nowMs } = state;
  const leaseFromMs = nowMs;
  return {
    ...state,
    link: "open",
    saving: true,
    heardAtMs: nowMs,
    nextBeatAtMs: nowMs,
    leaseFromMs
  };
}
function onLinkClosed2(state, from, effects) {
  if (state.link === "closed") return state;
  const reason = `the link ended: ${boundedReason(from)}`;
  const closed = { ...state, link: "closed" };
  if (state.outcome !== null) return closed;
  if (!backupMayActivate(state)) return neverProtected(closed, reason, effects);
  const ask = state.ask?.way === "link" ? null : state.ask;
  return { ...closed, lost: state.lost ?? reason, ask, nextAskAtMs: state.nowMs };
}
function onEpoch(state, event) {
  const { epoch } = event;
  switch (event.kind) {
    case "checkpoint":
      invariant(epoch === state.suspended + 1, "a checkpoint out of order");
      invariant(epoch === state.requested, "a checkpoint that nobody asked for");
      return { ...state, suspended: epoch };
    case "drained":
      invariant(epoch === state.suspended, "drained an epoch without its barrier");
      invariant(epoch === state.drained + 1, "drained an epoch twice");
      return { ...state, drained: epoch, drainedAtMs: state.nowMs, ...drainedPace(state, event) };
    case "sent":
      invariant(epoch === state.sent + 1, "sent an epoch out of order");
      return { ...state, sent: epoch };
  }
}
function drainedPace(state, { epoch, pauseMs, pages }) {
  invariant(pauseMs >= 0 && pages >= 0, "an epoch is measured");
  const { nowMs, drainedAtMs, drained, acked } = state;
  const progressAtMs = drained === acked ? nowMs : state.progressAtMs;
  if (epoch === 0) return { pace: state.pace, progressAtMs };
  const ranMs = nowMs - drainedAtMs - pauseMs;
  return { pace: nextPace(state.pace, ranMs, pauseMs, pages), progressAtMs };
}
function onSetSchedule(state, schedule) {
  const problem = scheduleProblem(schedule);
  invariant(problem === null, problem ?? "");
  return { ...state, schedule };
}
function onEcho(state, seq) {
  if (state.link !== "open") return state;
  const echoed = state.beats.find((beat) => beat.seq === seq);
  if (echoed === void 0) return state;
  const silentMs2 = isLeaseFresh(state) ? 0 : state.nowMs - state.heardAtMs;
  const progressAtMs = Math.min(state.nowMs, state.progressAtMs + silentMs2);
  return {
    ...state,
    progressAtMs,
    beats: state.beats.filter((beat) => beat.seq > seq),
    leaseFromMs: Math.max(state.leaseFromMs ?? echoed.sentAtMs, echoed.sentAtMs),
    heardAtMs: state.nowMs
  };
}
function onAck(state, epoch, effects) {
  if (state.link !== "open" || state.outcome !== null || epoch <= state.acked) return state;
  if (epoch !== state.acked + 1 || epoch > state.drained) {
    if (!backupMayActivate(state)) {
      return neverProtected(state, badAck(state, epoch), effects);
    }
    effects.push({ kind: "close-link" });
    return { ...state, link: "closed", lost: badAck(state, epoch), nextAskAtMs: state.nowMs };
  }
  const { nowMs } = state;
  return { ...state, acked: epoch, committedAtMs: nowMs, heardAtMs: nowMs, progressAtMs: nowMs };
}
function onCopyLost(state, from, effects) {
  if (state.outcome !== null || state.activeSeen) return state;
  const reason = `the copy was lost: ${boundedReason(from)}`;
  if (!backupMayActivate(state)) return neverProtected(state, reason, effects);
  return goOn({ ...state, lost: state.lost ?? reason }, "promised", effects);
}
function onAnswer(state, event, effects) {
  if (state.outcome !== null) return state;
  const { answer, id } = event;
  switch (answer.kind) {
    case "promised":
      return state.activeSeen ? state : goOn(state, "promised", effects);
    case "active": {
      const seen = answered({ ...state, activeSeen: true }, answer);
      return answer.running ? takenOver(seen, effects) : seen;
    }
    case "activating":
    case "unknown":
      return state.ask?.id === id ? answered(state, answer) : state;
    default:
      return unreachable(answer);
  }
}
function answered(state, answer) {
  const nextAskAtMs = state.nowMs + state.config.askEveryMs;
  const askNews = answer.kind === "unknown" ? "the backup has no record of this session, which is no promise" : answer.kind === "active" ? "the copy goes on there" : "the backup is activating its copy";
  return { ...state, ask: null, nextAskAtMs, askNews };
}
function onAskFailed(state, event) {
  if (state.ask?.id !== event.id) return state;
  const askNews = `the backup could not be asked: ${boundedReason(event.reason)}`;
  return { ...state, ask: null, nextAskAtMs: state.nowMs + state.config.askEveryMs, askNews };
}
function onStop(state, event, effects) {
  if (state.outcome !== null) return state;
  const stopped = {
    ...state,
    stopBy: event.by,
    // Without an ask under way the next one goes out now.
    nextAskAtMs: state.nowMs
  };
  if (!backupMayActivate(state)) {
    askOnLeaving(stopped, effects);
    return leave(stopped, "never-whole", { kind: "stopped", by: event.by }, effects);
  }
  if (event.force && !isLeaseFresh(state)) {
    const reason = `the administrator vouched that ${neverRan()}`;
    return leave(stopped, "forced", { kind: "unprotected", reason }, effects);
  }
  return stopped;
}
function onSaveFailed(state, from, effects) {
  const ended = { ...state, saving: false };
  if (state.outcome !== null) return finish2(ended, effects);
  const reason = `the checkpoints ended: ${boundedReason(from)}`;
  if (!backupMayActivate(state)) {
    askOnLeaving(ended, effects);
    return neverProtected(ended, reason, effects);
  }
  return { ...ended, lost: state.lost ?? reason, nextAskAtMs: state.nowMs };
}
function onGuestEnded(state, reason, effects) {
  const gone2 = { ...state, guest: "ended", paused: false };
  if (state.outcome !== null) return gone2;
  const ended = {
    ...gone2,
    guestEnded: state.guestEnded ?? boundedReason(reason),
    nextAskAtMs: state.nowMs
  };
  if (backupMayActivate(state)) return ended;
  askOnLeaving(ended, effects);
  return leave(ended, "never-whole", outcomeOnPromise(ended), effects);
}
function onSaveEnded(state, effects) {
  if (state.outcome === null) return onSaveFailed(state, "Xen ended its operation", effects);
  return finish2({ ...state, saving: false }, effects);
}
function neverProtected(state, reason, effects) {
  return leave(state, "never-whole", { kind: "never-protected", reason }, effects);
}
function goOn(state, permission2, effects) {
  return leave(state, permission2, outcomeOnPromise(state), effects);
}
function askOnLeaving(state, effects) {
  if (state.link !== "open") return;
  effects.push({ kind: "ask-promise", id: state.lastAskId + 1, way: "link" });
}
function leave(state, opened, outcome, effects) {
  effects.push({ kind: "open-buffer" });
  if (state.saving) effects.push({ kind: "abort-save" });
  if (state.paused) effects.push({ kind: "unpause-guest" });
  const left = {
    ...state,
    opened,
    outcome,
    paused: false,
    ask: null,
    decidedAtMs: state.nowMs
  };
  return state.saving ? left : finish2(left, effects);
}
function takenOver(before, effects) {
  const state = pumpPause(before, effects);
  const outcome = { kind: "taken-over" };
  const left = { ...state, outcome, ask: null, decidedAtMs: state.nowMs };
  if (!state.saving) return finish2(left, effects);
  effects.push({ kind: "abort-save" });
  return left;
}
function finish2(state, effects) {
  const { outcome } = state;
  invariant(outcome !== null, "P8 finish without an outcome");
  if (outcome.kind === "taken-over") effects.push({ kind: "destroy-guest" });
  if (state.link !== "closed") effects.push({ kind: "close-link" });
  effects.push({ kind: "end", outcome });
  return { ...state, phase: "ended", link: "closed" };
}

// test/sim/plug-model.ts
var PlugModel = class {
  /** u32 limit, bytes. */
  #limitBytes;
  /** The device sends it: whatever the qdisc lets go leaves at once. */
  #send;
  #isUnpluggedIndefinitely = false;
  #isThrottled = true;
  #packetsCurrentEpoch = 0;
  #packetsLastEpoch = 0;
  #packetsToRelease = 0;
  #queue = [];
  #backlogBytes = 0;
  #drops = 0;
  constructor(limitBytes, send) {
    this.#limitBytes = limitBytes;
    this.#send = send;
  }
  /** What waits, head first. */
  get queue() {
    return this.#queue;
  }
  /** qstats.backlog. */
  get backlogBytes() {
    return this.#backlogBytes;
  }
  /** qstats.drops: frames refused at the limit. */
  get drops() {
    return this.#drops;
  }
  get isPassingThrough() {
    return this.#isUnpluggedIndefinitely;
  }
  /** plug_enqueue(), and then the device looks whether there is something to send. */
  enqueue(frame) {
    if (this.#backlogBytes + frame.bytes > this.#limitBytes) {
      this.#drops += 1;
      return false;
    }
    if (!this.#isUnpluggedIndefinitely) this.#packetsCurrentEpoch += 1;
    this.#queue.push(frame);
    this.#backlogBytes += frame.bytes;
    this.#run();
    return true;
  }
  /** plug_change(); a release schedules the device. */
  change(command) {
    switch (command) {
      case "buffer":
        this.#packetsLastEpoch = this.#packetsCurrentEpoch;
        this.#packetsCurrentEpoch = 0;
        if (this.#isUnpluggedIndefinitely) this.#isThrottled = true;
        this.#isUnpluggedIndefinitely = false;
        return;
      case "release-one":
        this.#packetsToRelease += this.#packetsLastEpoch;
        this.#packetsLastEpoch = 0;
        break;
      case "release-indefinite":
        this.#isUnpluggedIndefinitely = true;
        this.#packetsToRelease = 0;
        this.#packetsLastEpoch = 0;
        this.#packetsCurrentEpoch = 0;
        break;
    }
    this.#isThrottled = false;
    this.#run();
  }
  /** qdisc_reset_queue(): its device is taken down, what waits is freed. Returns it. */
  reset() {
    const lost = this.#queue;
    this.#queue = [];
    this.#backlogBytes = 0;
    return lost;
  }
  #run() {
    for (let frame = this.#dequeue(); frame !== null; frame = this.#dequeue()) this.#send(frame);
  }
  /** plug_dequeue(). */
  #dequeue() {
    if (this.#isThrottled) return null;
    if (!this.#isUnpluggedIndefinitely) {
      if (this.#packetsToRelease === 0) {
        this.#isThrottled = true;
        return null;
      }
      this.#packetsToRelease -= 1;
    }
    const frame = this.#queue.shift();
    if (frame === void 0) return null;
    this.#backlogBytes -= frame.bytes;
    return frame;
  }
};

// test/sim/output-buffer.ts
var OneQueue = class {
  plug;
  sealed = null;
  constructor(limitBytes, emit) {
    this.plug = new PlugModel(limitBytes, emit);
  }
  get held() {
    return this.plug.queue;
  }
  get heldBytes() {
    return this.plug.backlogBytes;
  }
  get drops() {
    return this.plug.drops;
  }
  begin() {
    this.plug.change("release-indefinite");
  }
  accept(packet) {
    return this.plug.enqueue(packet);
  }
  barrier(epoch) {
    if (this.sealed !== null) return;
    if (!this.plug.isPassingThrough) this.sealed = epoch;
    this.plug.change("buffer");
  }
  release(epoch) {
    if (this.sealed === null || this.sealed > epoch) return;
    this.sealed = null;
    this.plug.change("release-one");
  }
  pass() {
    this.plug.change("release-indefinite");
  }
  drop() {
    return this.plug.reset();
  }
};
var TwoQueues = class {
  queues;
  /** Where the redirect points to. */
  current = 0;
  sealed = null;
  #isPassing = false;
  #isEmptying = false;
  constructor(limitBytes, emit) {
    this.queues = [new PlugModel(limitBytes, emit), new PlugModel(limitBytes, emit)];
  }
  get other() {
    return this.queues[this.current === 0 ? 1 : 0];
  }
  get held() {
    return [...this.other.queue, ...this.queues[this.current].queue];
  }
  get heldBytes() {
    return this.queues[0].backlogBytes + this.queues[1].backlogBytes;
  }
  get drops() {
    return this.queues[0].drops + this.queues[1].drops;
  }
  begin() {
    this.#isPassing = true;
    this.queues[this.current].change("release-indefinite");
  }
  accept(packet) {
    return this.queues[this.current].enqueue(packet);
  }
  barrier(epoch) {
    if (this.sealed !== null) return;
    if (this.#isEmptying) {
      if (this.other.queue.length > 0) return;
      this.other.change("buffer");
    }
    this.turn();
    this.#isEmptying = this.#isPassing;
    if (!this.#isPassing) this.sealed = epoch;
    this.#isPassing = false;
  }
  turn() {
    this.current = this.current === 0 ? 1 : 0;
  }
  release(epoch) {
    if (this.sealed === null || this.sealed > epoch) return;
    this.sealed = null;
    this.#isEmptying = true;
    this.other.change("release-indefinite");
  }
  pass() {
    this.other.change("release-indefinite");
    this.queues[this.current].change("release-indefinite");
  }
  drop() {
    return [...this.other.reset(), ...this.queues[this.current].reset()];
  }
};
var OutputBuffer = class {
  #plan;
  #ledger;
  interfaces = [];
  #isClosed = false;
  #isRemoved = false;
  constructor(plan, ledger) {
    this.#plan = plan;
    this.#ledger = ledger;
    for (const kind of plan.ports) {
      const port = this.makePort(kind, plan.limitBytes, (packet) => ledger.emitted(packet));
      port.begin();
      this.interfaces.push({ port, state: "protected" });
    }
  }
  makePort(kind, limitBytes, emit) {
    return kind === "one" ? new OneQueue(limitBytes, emit) : new TwoQueues(limitBytes, emit);
  }
  /** Something may wait: the buffer was closed and is not open again. */
  get isHolding() {
    return this.#isClosed && !this.#isRemoved;
  }
  /** The interfaces that the guest can send on. */
  get present() {
    return [...this.interfaces.keys()].filter((at) => this.interfaces[at]?.state !== "gone");
  }
  accept(packet) {
    const { port, state } = this.#at(packet.port);
    this.#ledger.held(packet, state === "protected");
    if (!port.accept(packet)) this.#ledger.refused(packet);
  }
  barrier(epoch) {
    if (this.#isRemoved) return;
    this.#isClosed = true;
    for (const { port } of this.#protected()) port.barrier(epoch);
  }
  release(epoch) {
    for (const { port } of this.#protected()) port.release(epoch);
  }
  open() {
    this.#isRemoved = true;
    for (const { port, state } of this.interfaces) if (state !== "gone") port.pass();
  }
  /** Only before the guest is destroyed, or with its host. */
  drop() {
    for (const { port } of this.interfaces) this.#ledger.lost(port.drop());
  }
  /** An interface is plugged in while the session runs: mute from its first packet on. */
  plugIn(kind) {
    const { limitBytes } = this.#plan;
    const port = this.makePort(kind, limitBytes, (packet) => this.#ledger.emitted(packet));
    if (this.#isRemoved) port.begin();
    this.interfaces.push({ port, state: this.#isRemoved ? "protected" : "blocked" });
  }
  /** An interface is unplugged; what it holds goes with it. */
  unplug(at) {
    const gone2 = this.#at(at);
    gone2.state = "gone";
    this.#ledger.lost(gone2.port.drop());
  }
  /** What waits, as the primary's machine hears of it. */
  look() {
    const ports = this.interfaces.filter(({ state }) => state !== "gone").map(({ port }) => port);
    const nearBytes = 0.75 * this.#plan.limitBytes;
    return {
      packets: ports.reduce((sum, port) => sum + port.held.length, 0),
      bytes: ports.reduce((sum, port) => sum + port.heldBytes, 0),
      nearLimit: this.#protected().some(({ port }) => port.heldBytes >= nearBytes)
    };
  }
  #protected() {
    return this.interfaces.filter(({ state }) => state === "protected");
  }
  #at(at) {
    const found = this.interfaces[at];
    if (found === void 0) throw new Error(`no interface ${at}`);
    return found;
  }
};

// test/sim/machines.ts
var realMachines = {
  stepPrimary,
  stepBackup,
  OutputBuffer,
  barrierAt: "suspended",
  diskAppliesAt: "commit",
  diskSettles: true,
  askBackup: (ask) => ask()
};

// test/sim/buffer-mutants.ts
var isBuffered = (plan) => ({
  ...plan,
  config: { ...plan.config, buffered: true }
});
var isDeep = (plan) => ({
  ...isBuffered(plan),
  config: { ...plan.config, buffered: true, pendingMax: 3 }
});
function withPorts(name, one, two, tweak = isBuffered) {
  class Mutant extends OutputBuffer {
    makePort(kind, limitBytes, emit) {
      return kind === "one" ? new one(limitBytes, emit) : new two(limitBytes, emit);
    }
  }
  return { name, machines: { ...realMachines, OutputBuffer: Mutant }, tweak };
}
function withBuffer(name, Mutant) {
  return { name, machines: { ...realMachines, OutputBuffer: Mutant }, tweak: isBuffered };
}
var SecondBarrier = class extends OneQueue {
  #seals = [];
  barrier(epoch) {
    if (!this.plug.isPassingThrough) this.#seals.push(epoch);
    this.plug.change("buffer");
  }
  release(epoch) {
    for (const seal of this.#seals) if (seal <= epoch) this.plug.change("release-one");
    this.#seals = this.#seals.filter((seal) => seal > epoch);
  }
};
var SecondTurn = class extends TwoQueues {
  barrier(epoch) {
    if (this.sealed === null) super.barrier(epoch);
    else this.turn();
  }
};
var ReleaseAllOne = class extends OneQueue {
  release(epoch) {
    if (this.sealed !== null && this.sealed <= epoch) this.pass();
    super.release(epoch);
  }
};
var ReleaseAllTwo = class extends TwoQueues {
  release(epoch) {
    if (this.sealed !== null && this.sealed <= epoch) this.pass();
    super.release(epoch);
  }
};
var AnyAckOne = class extends OneQueue {
  release() {
    super.release(Number.POSITIVE_INFINITY);
  }
};
var AnyAckTwo = class extends TwoQueues {
  release() {
    super.release(Number.POSITIVE_INFINITY);
  }
};
var MakeRoomOne = class extends OneQueue {
  accept(packet) {
    if (super.accept(packet)) return true;
    this.pass();
    return super.accept(packet);
  }
};
var MakeRoomTwo = class extends TwoQueues {
  accept(packet) {
    if (super.accept(packet)) return true;
    this.pass();
    return super.accept(packet);
  }
};
var NewestFirst = class extends TwoQueues {
  pass() {
    this.queues[this.current].change("release-indefinite");
    super.pass();
  }
};
var LeaveOpen = class extends TwoQueues {
  barrier(epoch) {
    if (this.sealed !== null) return;
    this.turn();
    this.sealed = epoch;
  }
};
var KeepOne = class extends OneQueue {
  release() {
  }
};
var KeepTwo = class extends TwoQueues {
  release() {
  }
};
var DropAtTeardown = class extends OutputBuffer {
  open() {
    for (const { port } of this.interfaces) port.drop();
    super.open();
  }
};
var OpenAtTakeover = class extends OutputBuffer {
  drop() {
    this.open();
    super.drop();
  }
};
var LetLateInterfaceIn = class extends OutputBuffer {
  plugIn(kind) {
    super.plugIn(kind);
    this.interfaces.at(-1)?.port.begin();
  }
};
var LetUnpluggedOut = class extends OutputBuffer {
  unplug(at) {
    this.interfaces[at]?.port.pass();
    super.unplug(at);
  }
};
var OpenUntilSecondBarrier = class extends OutputBuffer {
  #barriers = 0;
  barrier(epoch) {
    this.#barriers += 1;
    if (this.#barriers > 1) super.barrier(epoch);
  }
};
var struckBy = (kind) => (plan) => ({
  ...isBuffered(plan),
  faults: plan.faults.map(({ trigger }) => ({
    trigger,
    fault: kind === "unplug" ? { kind } : { kind, port: "two" }
  }))
});
var killedAndCleanedUp = (plan) => ({
  ...isBuffered(plan),
  cleansUp: true,
  faults: plan.faults.map(({ trigger }) => ({ trigger, fault: { kind: "kill-protect" } }))
});
var killedAtTheSeedsEnd = (plan) => {
  const trigger = { kind: "call", host: "b", what: "", count: 20 + plan.seed % 80 };
  const forMs = 5 * plan.config.heartbeatTimeoutMs;
  return {
    ...isBuffered(plan),
    cleansUp: true,
    faults: [
      { trigger, fault: { kind: "cut", directions: ["ab", "ba"], forMs } },
      { trigger, fault: { kind: "kill-protect" } }
    ]
  };
};
var bufferMutants = [
  {
    // Also: what the plug has forgotten waits too long.
    ...withPorts("second barrier while one is sealed", SecondBarrier, TwoQueues, isDeep),
    rule: "output-commit"
  },
  withPorts("second turn while one is sealed", OneQueue, SecondTurn, isDeep),
  withPorts("release all instead of one, one queue", ReleaseAllOne, TwoQueues),
  withPorts("release all instead of one, two queues", OneQueue, ReleaseAllTwo),
  withPorts("release on any acknowledgement, one queue", AnyAckOne, TwoQueues, isDeep),
  withPorts("release on any acknowledgement, two queues", OneQueue, AnyAckTwo, isDeep),
  withPorts("make room at the limit, one queue", MakeRoomOne, TwoQueues),
  withPorts("make room at the limit, two queues", OneQueue, MakeRoomTwo),
  withPorts("open the newer queue first", OneQueue, NewestFirst),
  withPorts("leave an emptied queue open", OneQueue, LeaveOpen),
  withPorts("never release, one queue", KeepOne, TwoQueues),
  withPorts("never release, two queues", OneQueue, KeepTwo),
  withBuffer("drop what is held at an ordered end", DropAtTeardown),
  withBuffer("open at a takeover", OpenAtTakeover),
  withBuffer("close at the second barrier only", OpenUntilSecondBarrier),
  { ...withBuffer("let a late interface through", LetLateInterfaceIn), tweak: struckBy("plug-in") },
  {
    ...withBuffer("let out what an unplugged interface held", LetUnpluggedOut),
    tweak: struckBy("unplug")
  },
  {
    name: "barrier after the resume",
    machines: { ...realMachines, barrierAt: "resumed" },
    tweak: isBuffered
  },
  {
    name: "clean up without asking",
    machines: { ...realMachines, askBackup: async () => ({ kind: "promised" }) },
    tweak: killedAndCleanedUp
  },
  {
    name: "clean up when nobody answers",
    machines: {
      ...realMachines,
      askBackup: (ask) => ask().catch(() => ({ kind: "promised" }))
    },
    tweak: killedAndCleanedUp
  },
  {
    // The seed may be whole over there although its acknowledgement was never heard of.
    name: "clean up a seed when nobody answers",
    machines: {
      ...realMachines,
      askBackup: (ask, { epoch }) => ask().catch((error) => {
        if (epoch === null) return { kind: "promised" };
        throw error;
      })
    },
    tweak: killedAtTheSeedsEnd
  },
  {
    name: "destroy what was left before the copy runs",
    machines: {
      ...realMachines,
      askBackup: async (ask) => {
        const answer = await ask();
        return answer.kind === "promised" ? answer : { kind: "active", running: true };
      }
    },
    tweak: killedAndCleanedUp
  }
];

// test/sim/disk-part.ts
var diskName = "xvda";
var diskBarrier = 2;
var SimPrimaryDisk = class {
  name = diskName;
  barrier = diskBarrier;
  #process;
  #connection = null;
  #waiting = [];
  #isSending = false;
  constructor(process2) {
    this.#process = process2;
    process2.onExit(() => this.#connection?.processDied("a"));
  }
  open(connection) {
    this.#connection = connection;
  }
  /** The guest is suspended: its writes up to now are those of `epoch`. */
  mark(epoch, disk) {
    this.#waiting.push({ epoch, disk });
    if (!this.#isSending) this.#sendNext();
  }
  #sendNext() {
    const next = this.#waiting.shift();
    this.#isSending = next !== void 0;
    if (next === void 0) return;
    const { plan, random } = this.#process.host.world;
    this.#process.later(plan.diskLagMs * random.next(), () => {
      this.#process.call("send disk epoch", () => {
        this.#connection?.send("a", next);
        this.#sendNext();
      });
    });
  }
  onMessage() {
  }
  onClosed() {
  }
  async close() {
    this.#process.call("close disk", () => this.#connection?.close("a"));
  }
};
var SimBackupDisk = class {
  name = diskName;
  #process;
  #content;
  #events = { whole() {
  }, lost() {
  } };
  #arrived = /* @__PURE__ */ new Map();
  #committed = [];
  #isApplying = false;
  #isRolledBack = false;
  #settled = [];
  /** So many of the next epochs cannot be applied. */
  failsLeft = 0;
  #hasFailed = false;
  constructor(process2, content) {
    this.#process = process2;
    this.#content = content;
  }
  get #machines() {
    return this.#process.host.world.machines;
  }
  listen(events) {
    this.#events = events;
  }
  onMessage(arrived) {
    this.#process.run(() => {
      if (this.#isRolledBack) return;
      const isApplied = arrived.epoch === 0 || this.#machines.diskAppliesAt === "arrival";
      if (isApplied) Object.assign(this.#content, arrived);
      else this.#arrived.set(arrived.epoch, arrived);
      this.#process.host.world.checker.diskArrived(arrived.epoch);
      this.#events.whole(arrived.epoch);
    });
  }
  /** The end of the connection only means that nothing more comes. */
  onClosed() {
  }
  commit(epoch) {
    this.#process.call("commit disk", () => {
      this.#committed.push(epoch);
      this.#applyNext();
    });
  }
  #applyNext() {
    const epoch = this.#committed[0];
    if (epoch === void 0) {
      for (const { resolve } of this.#settled.splice(0)) resolve();
      return;
    }
    if (this.#isApplying || this.#hasFailed) return;
    this.#isApplying = true;
    this.#process.later(this.#process.host.world.plan.diskApplyMs, () => {
      this.#isApplying = false;
      if (this.failsLeft > 0) {
        this.failsLeft -= 1;
        this.#hasFailed = true;
        this.#events.lost("input/output error");
        for (const { reject } of this.#settled.splice(0)) reject(new Error("the disk failed"));
        return;
      }
      this.#committed.shift();
      Object.assign(this.#content, this.#arrived.get(epoch));
      this.#arrived.delete(epoch);
      this.#applyNext();
    });
  }
  settle() {
    return new Promise((resolve, reject) => {
      if (!this.#machines.diskSettles) return resolve();
      if (this.#hasFailed) return reject(new Error("the disk failed"));
      this.#settled.push({ resolve, reject });
      this.#process.call("settle disk", () => this.#applyNext());
    });
  }
  async rollBack() {
    this.#process.call("roll back disk", () => {
      this.#isRolledBack = true;
      for (const epoch of this.#arrived.keys()) {
        if (!this.#committed.includes(epoch)) this.#arrived.delete(epoch);
      }
    });
  }
};

// test/sim/mutants.ts
var primary = (name, bug) => ({
  name,
  machines: { ...realMachines, stepPrimary: bug }
});
var backup = (name, bug) => ({
  name,
  machines: { ...realMachines, stepBackup: bug }
});
function andPrimary(state, event, more) {
  const step = stepPrimary(state, event);
  return { state: step.state, effects: [...step.effects, ...more(step)] };
}
function mapBackup(state, event, change) {
  const step = stepBackup(state, event);
  const effects = step.effects.flatMap((effect) => change(effect, step.state));
  return { state: step.state, effects };
}
var releaseBeforeAck = {
  ...primary(
    "release before acknowledgement",
    (state, event) => andPrimary(
      state,
      event,
      () => event.kind === "drained" ? [{ kind: "release", epoch: event.epoch }] : []
    )
  ),
  rule: "output-commit"
};
var trustStaleAck = primary(
  "trust a stale acknowledgement",
  (state, event) => andPrimary(
    state,
    event,
    ({ state: after }) => (
      // Whatever it acknowledges, it is taken for the newest.
      event.kind === "ack" && after.drained > after.acked ? [{ kind: "release", epoch: after.drained }] : []
    )
  )
);
var ignoreLeaseAtRelease = primary(
  "ignore the lease at release",
  (state, event) => andPrimary(
    state,
    event,
    ({ state: after }) => event.kind === "ack" && after.released < after.acked ? [{ kind: "release", epoch: after.acked }] : []
  )
);
var primaryIgnoresHeartbeat = primary(
  "primary ignores the heartbeat",
  (state, event) => stepPrimary({ ...state, leaseFromMs: state.leaseFromMs && event.nowMs }, event)
);
var actAfterStop = primary(
  "act after stop",
  (state, event) => andPrimary(
    state,
    event,
    ({ state: after }) => after.phase === "leaving" && event.kind === "tick" ? [{ kind: "release", epoch: after.drained }] : []
  )
);
var checkpointAfterStop = primary(
  "checkpoint after stop",
  (state, event) => andPrimary(
    state,
    event,
    ({ state: after }) => after.phase === "leaving" && event.kind === "tick" && after.requested === after.drained ? [{ kind: "take-checkpoint", epoch: after.requested + 1 }] : []
  )
);
var openOnUnknown = primary(
  "open the buffer on unknown",
  (state, event) => event.kind === "answer" && event.answer.kind === "unknown" ? stepPrimary(state, { ...event, answer: { kind: "promised" } }) : stepPrimary(state, event)
);
var openAtLinkEnd = primary(
  "open the buffer at the end of the link",
  (state, event) => stepPrimary(
    event.kind === "link-closed" ? {
      ...state,
      suspended: -1,
      drained: -1,
      sent: -1,
      acked: -1,
      released: -1,
      requested: 0,
      paused: false
    } : state,
    event
  )
);
var openOnFailedAsk = primary(
  "open the buffer when nobody answers",
  (state, event) => event.kind === "ask-failed" ? stepPrimary(state, { ...event, kind: "answer", answer: { kind: "promised" } }) : stepPrimary(state, event)
);
var runOnWhenTakenOver = {
  ...primary("let the guest run when the copy runs", (state, event) => {
    const step = stepPrimary(state, event);
    if (step.state.phase !== "leaving") return step;
    const effects = step.effects.filter((effect) => effect.kind !== "pause-guest");
    return { state: step.state, effects };
  }),
  tweak: (plan) => {
    const { heartbeatTimeoutMs } = plan.config;
    return {
      ...plan,
      config: { ...plan.config, buffered: false },
      faults: plan.faults.map(({ trigger }) => ({
        trigger,
        fault: { kind: "stall", host: "a", forMs: 3 * heartbeatTimeoutMs }
      }))
    };
  }
};
function struckBy2(plan, ...faults) {
  const trigger = { kind: "time", atMs: 0.5 * plan.calmAtMs };
  return { ...plan, faults: faults.map((fault) => ({ trigger, fault })) };
}
var destroyWhenActive = {
  ...primary(
    "destroy before the copy runs",
    (state, event) => event.kind === "answer" && event.answer.kind === "active" ? stepPrimary(state, { ...event, answer: { kind: "active", running: true } }) : stepPrimary(state, event)
  ),
  tweak: (plan) => {
    const forMs = 1.5 * plan.config.heartbeatTimeoutMs;
    return struckBy2(
      plan,
      { kind: "cut", directions: ["ab", "ba"], forMs },
      { kind: "unpause-fails", times: 2 }
    );
  },
  rule: "destroyed-early"
};
var activateTorn = backup(
  "activate a torn epoch",
  (state, event) => mapBackup(
    state,
    event,
    (effect) => effect.kind === "build-copy" ? [
      { kind: "commit", epoch: effect.epoch + 1 },
      { kind: "build-copy", epoch: effect.epoch + 1 }
    ] : [effect]
  )
);
var ackTorn = backup(
  "acknowledge a torn epoch",
  (state, event) => mapBackup(
    state,
    event,
    (effect) => effect.kind === "send-ack" ? [effect, { kind: "send-ack", epoch: effect.epoch + 1 }] : [effect]
  )
);
var feedBeforeAck = backup("feed before the acknowledgement", (state, event) => {
  const step = stepBackup(state, event);
  const feeds = step.effects.filter((effect) => effect.kind === "commit");
  const others = step.effects.filter((effect) => effect.kind !== "commit");
  return { state: step.state, effects: [...feeds, ...others] };
});
var backupIgnoresHeartbeat = backup(
  "backup ignores the silence",
  (state, event) => stepBackup({ ...state, heardAtMs: event.nowMs, echoedAtMs: event.nowMs }, event)
);
var echoAlways = {
  ...backup("echo after the decision", (state, event) => {
    const step = stepBackup(state, event);
    const isEchoed = step.effects.some((effect) => effect.kind === "send-echo");
    if (event.kind !== "heartbeat" || isEchoed) return step;
    return { state: step.state, effects: [{ kind: "send-echo", seq: event.seq }, ...step.effects] };
  }),
  tweak: (plan) => {
    const { heartbeatTimeoutMs } = plan.config;
    const struck = struckBy2(
      plan,
      { kind: "disk-slow", forMs: 10 * heartbeatTimeoutMs, byMs: heartbeatTimeoutMs },
      { kind: "cut", directions: ["ab", "ba"], forMs: 1.05 * heartbeatTimeoutMs }
    );
    const forMs = 5 * heartbeatTimeoutMs;
    const cut = {
      trigger: { kind: "call", host: "b", what: "unpause", count: 1 },
      fault: { kind: "cut", directions: ["ab", "ba"], forMs }
    };
    const config = { ...plan.config, buffered: false };
    return { ...struck, config, faults: [...struck.faults, cut] };
  },
  rule: "one-active"
};
var promiseWithoutRecord = backup("promise without a record", (state, event) => {
  if (event.kind !== "ask") return stepBackup(state, event);
  const { way, token } = event;
  return { state, effects: [{ kind: "answer", way, token, answer: { kind: "promised" } }] };
});
var activateAfterPromise = backup("activate after a promise", (state, event) => {
  if (event.kind !== "record" || event.permission !== "promised" || state.acked < 0) {
    return stepBackup(state, event);
  }
  if (state.writing !== "promised") {
    return stepBackup(state, { ...event, permission: state.writing ?? "active" });
  }
  const step = stepBackup(state, event);
  const effects = step.effects.filter((effect) => effect.kind === "answer");
  return { state: { ...state, writing: null, goal: null, asks: [] }, effects };
});
var unpauseBeforeActive = backup(
  "unpause before the record says active",
  (state, event) => mapBackup(
    state,
    event,
    (effect) => effect.kind === "write-record" && effect.to === "active" ? [{ kind: "unpause-copy" }, effect] : [effect]
  )
);
var activateAtLinkEnd = backup(
  "without a buffer, activate at the end of the link",
  (state, event) => stepBackup({ ...state, config: { ...state.config, buffered: true } }, event)
);
var countOwnStall = backup(
  "count an own stall as silence",
  (state, event) => stepBackup(state, event.kind === "tick" ? { ...event, stalledMs: 0 } : event)
);
var promiseBeforeDiscard = backup(
  "answer promised while activating",
  (state, event) => mapBackup(
    state,
    event,
    (effect) => effect.kind === "answer" && effect.answer.kind === "activating" ? [{ ...effect, answer: { kind: "promised" } }] : [effect]
  )
);
var giveUpOnUnpause = {
  ...backup(
    "forget the copy when it cannot be unpaused",
    (state, event) => mapBackup(
      state,
      event,
      (effect) => effect.kind === "unpause-copy" && state.nextUnpauseAtMs > 0 && state.copyProblem !== null ? [] : [effect]
    )
  ),
  tweak: (plan) => struckBy2(
    plan,
    { kind: "unpause-fails", times: 1 },
    { kind: "crash", host: "a", rebootMs: null }
  ),
  rule: "liveness"
};
var neverGiveUp = {
  ...primary(
    "wait for a backup that hangs",
    (state, event) => stepPrimary({ ...state, progressAtMs: event.nowMs }, event)
  ),
  tweak: (plan) => ({
    ...plan,
    faults: plan.faults.map(({ trigger }, index) => ({
      trigger,
      fault: { kind: "hang", isStream: index % 2 === 0, forMs: null }
    }))
  })
};
var forgetTheDisk = {
  ...backup("acknowledge without the disk", (state, event) => {
    if (event.kind !== "epoch-whole") return stepBackup(state, event);
    if (event.part === diskName) return { state, effects: [] };
    const memory = stepBackup(state, event);
    const disk = stepBackup(memory.state, { ...event, part: diskName });
    return { state: disk.state, effects: [...memory.effects, ...disk.effects] };
  }),
  rule: "one-commit"
};
var diskAtArrival = {
  name: "apply writes of the disk before the epoch counts",
  machines: { ...realMachines, diskAppliesAt: "arrival" },
  rule: "one-commit"
};
var diskUnsettled = {
  name: "let the copy run before its disk has settled",
  machines: { ...realMachines, diskSettles: false },
  rule: "one-commit"
};
var mutants = [
  releaseBeforeAck,
  activateTorn,
  primaryIgnoresHeartbeat,
  backupIgnoresHeartbeat,
  actAfterStop,
  checkpointAfterStop,
  trustStaleAck,
  promiseWithoutRecord,
  activateAfterPromise,
  openOnUnknown,
  openAtLinkEnd,
  openOnFailedAsk,
  destroyWhenActive,
  runOnWhenTakenOver,
  ackTorn,
  feedBeforeAck,
  ignoreLeaseAtRelease,
  unpauseBeforeActive,
  echoAlways,
  activateAtLinkEnd,
  countOwnStall,
  promiseBeforeDiscard,
  giveUpOnUnpause,
  neverGiveUp,
  forgetTheDisk,
  diskAtArrival,
  diskUnsettled,
  ...bufferMutants
];

// test/sim/random.ts
var Random = class {
  #state;
  constructor(seed) {
    this.#state = Math.imul(seed ^ 2654435769, 2246822507) >>> 0;
    this.next();
  }
  /** From 0 (included) to 1 (excluded). */
  next() {
    this.#state = this.#state + 1831565813 >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ t >>> 15, t | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  }
  /** A whole number, both ends included. */
  int(min, max) {
    return min + Math.floor(this.next() * (max - min + 1));
  }
  between(min, max) {
    return min + this.next() * (max - min);
  }
  chance(probability) {
    return this.next() < probability;
  }
  pick(items) {
    const item = items[this.int(0, items.length - 1)];
    if (item === void 0) throw new Error("pick from nothing");
    return item;
  }
};

// test/sim/plan.ts
function planOf(seed) {
  const random = new Random(seed);
  const timeoutMs = random.pick([200, 500, 1e3]);
  const config = {
    heartbeatTimeoutMs: timeoutMs,
    holdMs: Math.round(timeoutMs * random.pick([0.5, 1, 3])),
    buffered: random.chance(0.7),
    schedule: scheduleOf(random, timeoutMs),
    pendingMax: random.int(1, 3),
    askEveryMs: Math.round(timeoutMs * random.pick([0.25, 0.5, 1]))
  };
  const delayMsMax = timeoutMs * random.pick([0.01, 0.03, 0.1]);
  const seedChunks = random.int(2, 12);
  const chunkMs = timeoutMs * random.pick([0.02, 0.05, 0.1]);
  const calmAtMs = timeoutMs * random.between(4, 10);
  const diskMs = timeoutMs * random.pick([5e-3, 0.05, 0.2]);
  const seedMs = seedChunks * chunkMs;
  return {
    seed,
    config,
    delayMsMin: delayMsMax / 5,
    delayMsMax,
    packetMs: timeoutMs * random.pick([0.05, 0.1, 0.2]),
    seedChunks,
    epochChunks: random.int(1, 4),
    epochPages: random.pick([1, 200, 5e3, 1e5]),
    buffer: {
      ports: random.pick([["one"], ["two"], ["two"], ["one", "two"], ["two", "two"]]),
      limitBytes: random.pick([5e3, 15e3, 1e6])
    },
    chunkMs,
    suspendMs: timeoutMs * random.pick([0.01, 0.05]),
    drainMs: timeoutMs * random.pick([5e-3, 0.05]),
    diskMs,
    diskLagMs: timeoutMs * random.pick([0, 0.05, 0.3]),
    datagramLoss: random.pick([0, 0.1, 1]),
    applyMs: timeoutMs * random.pick([0.01, 0.1]),
    diskApplyMs: timeoutMs * random.pick([0.01, 0.1, 0.5]),
    buildMs: timeoutMs * random.pick([0.1, 0.5]),
    abortMs: timeoutMs * random.pick([0.01, 0.3]),
    // An answer reads the record, and may write it: that takes some thirty steps of a disk.
    askTimeoutMs: timeoutMs * random.pick([1, 2, 4]) + 10 * diskMs,
    misdirected: random.chance(0.15) ? 0.4 : 0,
    clockRateA: 1 + random.between(-4e-3, 4e-3),
    clockRateB: 1 + random.between(-4e-3, 4e-3),
    clockStartA: random.int(0, 1e6),
    clockStartB: random.int(0, 1e6),
    faults: faultsOf(random, timeoutMs, seedMs, calmAtMs),
    calmAtMs,
    isCutForGood: random.chance(0.06),
    forces: random.chance(0.5),
    cleansUp: random.chance(0.5)
  };
}
function scheduleOf(random, timeoutMs) {
  const intervalMs = Math.round(timeoutMs * random.pick([0, 0.05, 0.2, 0.5]));
  if (random.chance(0.5)) return { kind: "fixed", intervalMs };
  const maxMs = intervalMs + Math.round(timeoutMs * random.pick([0, 0.1, 0.5]));
  return { kind: "auto", minMs: intervalMs, maxMs, maxOverhead: random.pick([0.05, 0.2, 0.9]) };
}
function faultsOf(random, timeoutMs, seedMs, calmAtMs) {
  const faults = [];
  const count = random.pick([0, 1, 1, 1, 2, 2, 2, 3, 4]);
  let atMs = random.chance(0.2) ? random.between(0, seedMs) : random.between(seedMs, calmAtMs);
  for (let index = 0; index < count; index += 1) {
    const fault = faultOf(random, timeoutMs);
    const isCall = random.chance(0.3);
    const trigger = isCall ? callOf(random) : { kind: "time", atMs: Math.min(atMs, calmAtMs) };
    faults.push({ trigger, fault });
    atMs += timeoutMs * random.pick([0, 0.02, 0.3, 1, 1.5, 3]) * random.next();
  }
  return faults;
}
var calls = {
  a: ["", "checkpoint", "release", "open-buffer", "drop-buffer", "destroy", "pause", "ask", "send"],
  b: ["", "create", "sync", "link", "sync-dir", "finish", "unpause", "rename", "send ack", "apply"]
};
function callOf(random) {
  const host = random.pick(["a", "b"]);
  const what = random.pick(calls[host]);
  const count = what === "" ? random.int(1, 400) : random.int(1, what.startsWith("send") ? 60 : 4);
  return { kind: "call", host, what, count };
}
function faultOf(random, timeoutMs) {
  const forMs = timeoutMs * random.pick([0.3, 0.8, 1.2, 2, 5]);
  const times = random.int(1, 2);
  const side = random.pick(["a", "b"]);
  const makers = [
    [6, () => ({ kind: "cut", directions: ["ab", "ba"], forMs })],
    [5, () => ({ kind: "cut", directions: [random.pick(["ab", "ba"])], forMs })],
    [4, () => ({ kind: "reset", sides: random.pick([["a", "b"], ["a"], ["b"]]) })],
    [3, () => ({ kind: "kill-protect" })],
    [3, () => ({ kind: "kill-receive" })],
    [2, () => ({ kind: "stop-protect", forMs })],
    [2, () => ({ kind: "stop-receive", forMs })],
    [4, () => ({ kind: "stall", host: side, forMs })],
    [5, () => ({ kind: "crash", host: "a", rebootMs: random.chance(0.4) ? forMs : null })],
    [3, () => ({ kind: "crash", host: "b", rebootMs: random.chance(0.5) ? forMs : null })],
    [1, () => ({ kind: "save-failed" })],
    [2, () => ({ kind: "guest-ended" })],
    [1, () => ({ kind: "damage" })],
    [2, () => ({ kind: "apply-fails" })],
    [2, () => ({ kind: "build-fails" })],
    [1, () => ({ kind: "unpause-fails", times })],
    [1, () => ({ kind: "discard-fails", times })],
    [2, () => ({ kind: "disk-full", forMs })],
    [2, () => ({ kind: "disk-slow", forMs, byMs: timeoutMs * random.pick([0.5, 2]) })],
    [2, () => ({ kind: "disk-lies", times })],
    [1, () => ({ kind: "disk-read-only", forMs })],
    [1, () => ({ kind: "short-writes", times })],
    [1, () => ({ kind: "disk-part-fails" })],
    [1, () => ({ kind: "disk-link-reset" })],
    [1, () => ({ kind: "wall-step", host: side, byMs: random.pick([-72e5, 72e5]) })],
    [1, () => ({ kind: "kill-guard" })],
    [3, () => ({ kind: "stop" })],
    [1, () => ({ kind: "terminate" })],
    [
      1,
      () => ({
        kind: "hang",
        isStream: random.chance(0.5),
        forMs: random.chance(0.3) ? null : forMs
      })
    ],
    [2, () => ({ kind: "plug-in", port: random.pick(["one", "two"]) })],
    [2, () => ({ kind: "unplug" })],
    [2, () => ({ kind: "failover" })]
  ];
  let ticket = random.next() * makers.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, make] of makers) {
    ticket -= weight;
    if (ticket < 0) return make();
  }
  return { kind: "stop" };
}

// test/sim/world.ts
import { createHash as createHash2 } from "node:crypto";

// test/sim/checker.ts
var Checker = class {
  #rules;
  #nowMs;
  violation = null;
  #snapshots = /* @__PURE__ */ new Map();
  #beatsMs = /* @__PURE__ */ new Map();
  #leaseMs = Number.NEGATIVE_INFINITY;
  /** Newest epoch of which all bytes arrived at the backup; nothing is missing below it. */
  whole = -1;
  /** The same of its disk. */
  diskWhole = -1;
  acked = -1;
  fed = 0;
  /** Newest epoch of which the primary let a packet out, while its buffer was in force. */
  #emittedEpoch = 0;
  permission = "none";
  /** The last final answer that left the backup's host. */
  #told = null;
  /** The epoch that the running copy was activated from. */
  activated = null;
  isCopyRunning = false;
  isOpened = false;
  isVouched = false;
  #isNeverWhole = false;
  #isDestroyed = false;
  /** What waits in the output buffer, and whether its interface is a protected one. */
  #held = /* @__PURE__ */ new Map();
  /** The count of the last packet that left by each interface. */
  #leftCount = /* @__PURE__ */ new Map();
  #isDecided = false;
  #protectedUntilMs = Number.NEGATIVE_INFINITY;
  constructor(rules, nowMs) {
    this.#rules = rules;
    this.#nowMs = nowMs;
  }
  #require(condition, rule, text) {
    if (condition || this.violation !== null) return;
    this.violation = { rule, text, atMs: this.#nowMs() };
  }
  fail(rule, text) {
    this.#require(false, rule, text);
  }
  // --- what the primary's host does ---
  barrier(epoch, memory, disk) {
    this.#snapshots.set(epoch, { memory, disk });
  }
  heartbeatSent(seq, hostMs) {
    this.#beatsMs.set(seq, hostMs);
  }
  echoArrived(seq) {
    this.#leaseMs = Math.max(this.#leaseMs, this.#beatsMs.get(seq) ?? Number.NEGATIVE_INFINITY);
  }
  /** Something that only a session without a decision may do. */
  acted(what) {
    this.#require(!this.#isDecided, "acts-after-the-end", `${what} after the decision`);
  }
  /** The machine decides to release. */
  releases(epoch, hostMs) {
    const ageMs = hostMs - this.#leaseMs;
    const limitMs = 0.6 * this.#rules.timeoutMs;
    this.#require(ageMs <= limitMs, "lease", `release ..${epoch}, last echo's age ${ageMs} ms`);
  }
  opened() {
    this.#isDecided = true;
    this.isOpened = true;
    if (this.permission === "promised" || this.isVouched) return;
    this.#isNeverWhole = this.acked < 0;
    const text = `opened while the record says ${this.permission}, acked ${this.acked}`;
    this.#require(this.#isNeverWhole, "permission", text);
    this.#require(!this.isCopyRunning, "one-active", "opened while the copy runs");
  }
  destroyed() {
    this.#isDecided = true;
    this.#require(this.activated !== null, "destroyed-early", "destroyed before the copy ran");
    this.#isDestroyed = true;
  }
  ended() {
    this.#isDecided = true;
  }
  // --- the output buffer ---
  held(packet, isProtected) {
    this.#held.set(packet, isProtected);
  }
  /** Dropped at the limit, as a real network would. */
  refused(packet) {
    this.#held.delete(packet);
  }
  /** Gone with their interface, or thrown away with their guest. */
  lost(packets) {
    for (const packet of packets) this.#held.delete(packet);
  }
  /**
   * The driver has released: an interface has one seal, so an epoch may have to leave with one of
   * the next, but not with one that could not even be in flight together with it.
   */
  released(acked) {
    const latest = acked - (this.#rules.pendingMax - 1);
    for (const [{ epoch }, isProtected] of this.#held) {
      const isDue = isProtected && epoch <= latest;
      this.#require(!isDue, "held-too-long", `a packet of epoch ${epoch} waits after ack ${acked}`);
    }
  }
  /** The buffer was opened and removed. */
  tornDown() {
    const { size } = this.#held;
    this.#require(size === 0, "teardown", `${size} packets were lost`);
  }
  // --- what clients see ---
  emitted(packet) {
    const { epoch, from, port, count } = packet;
    if (from === "b") return;
    this.#require(!this.#isDestroyed, "one-active", "a packet left after its guest was destroyed");
    const last = this.#leftCount.get(port) ?? -1;
    this.#require(count > last, "output-order", `packet ${count} left after ${last}`);
    this.#leftCount.set(port, count);
    const isBlocked = this.#held.get(packet) === false && !this.isOpened;
    this.#require(!isBlocked, "output-commit", "a packet of a blocked interface left");
    this.#held.delete(packet);
    if (!this.#rules.isBuffered) {
      this.#require(!this.isCopyRunning, "one-active", "both guests send");
      return;
    }
    if (!this.isOpened && epoch >= 1) {
      const text2 = `a packet of epoch ${epoch} left, acknowledged is ${this.acked}`;
      this.#require(epoch <= this.acked, "output-commit", text2);
      this.#emittedEpoch = Math.max(this.#emittedEpoch, epoch);
    }
    if (this.activated === null) return;
    const text = `a packet of epoch ${epoch} left, the copy went on from ${this.activated}`;
    this.#require(epoch <= this.activated, "one-active", text);
  }
  // --- what the backup's host does ---
  wholeArrived(epoch) {
    this.#require(epoch === this.whole + 1, "simulator", `epoch ${epoch} after ${this.whole}`);
    this.whole = epoch;
  }
  diskArrived(epoch) {
    this.#require(epoch === this.diskWhole + 1, "simulator", `disk ${epoch} out of order`);
    this.diskWhole = epoch;
  }
  ackSent(epoch) {
    this.#require(epoch <= this.whole, "whole-epochs", `acknowledged a torn epoch ${epoch}`);
    const text = `acknowledged epoch ${epoch}, the disk has ${this.diskWhole}`;
    this.#require(epoch <= this.diskWhole, "one-commit", text);
    this.#require(epoch === this.acked + 1, "order", `ack ${epoch} after ${this.acked}`);
    this.#require(!this.#isNeverWhole, "permission", "a whole seed after the primary had gone on");
    const isStandby = this.permission === "standby";
    this.#require(isStandby, "order", `ack while the record says ${this.permission}`);
    this.acked = epoch;
  }
  feeds(epoch) {
    this.#require(epoch <= this.whole, "whole-epochs", `fed a torn epoch ${epoch}`);
    this.#require(epoch === this.fed + 1, "order", `fed ${epoch} after ${this.fed}`);
    this.#require(epoch <= this.acked, "order", `fed ${epoch} before its acknowledgement`);
    this.fed = epoch;
  }
  /**
   * What the record says changed. A power cut (`isUp` false) may take a step back that nobody had
   * heard of yet; one that was told, or acted upon, stays.
   */
  recordSays(permission2, isUp) {
    const before = this.permission;
    if (permission2 === before) return;
    this.permission = permission2;
    if (!isUp) {
      const isKnown = this.#told === before || before === "active" && this.activated !== null;
      this.#require(!isKnown, "durable", `${before} was lost in a power cut: ${permission2}`);
      return;
    }
    const isFinal = before === "active" || before === "promised";
    this.#require(!isFinal, "record", `${before} became ${permission2}`);
    if (permission2 !== "promised") return;
    this.#require(!this.isCopyRunning, "record", "promised while the copy runs");
  }
  answered(kind) {
    if (kind !== "promised" && kind !== "active") return;
    this.#require(this.permission === kind, "record", `said ${kind}, it says ${this.permission}`);
    this.#told = kind;
  }
  /** Nothing reached the backup's host for so long, its own stalls not counted. */
  foundSilence(silentMs2, slackMs) {
    const isLong = silentMs2 + slackMs >= 0.99 * this.#rules.timeoutMs;
    this.#require(isLong, "false-activation", `activates on a silence of ${silentMs2} ms`);
  }
  copyRuns(content) {
    const { epoch, memory, disk, diskEpoch, isTorn } = content;
    this.#require(this.permission === "active", "record", `runs, record ${this.permission}`);
    this.#require(this.activated === null, "one-active", "a second copy runs");
    this.#require(!isTorn && epoch <= this.whole, "whole-epochs", `runs from torn ${epoch}`);
    this.#require(epoch === this.acked, "whole-epochs", `runs from ${epoch}, acked ${this.acked}`);
    const snapshot = this.#snapshots.get(epoch);
    this.#require(snapshot?.memory === memory, "one-commit", `memory is not that of ${epoch}`);
    this.#require(diskEpoch === epoch, "one-commit", `memory of ${epoch}, disk of ${diskEpoch}`);
    this.#require(snapshot?.disk === disk, "one-commit", `disk is not that of ${epoch}`);
    const text = `runs from ${epoch}, clients have seen ${this.#emittedEpoch}`;
    this.#require(this.#emittedEpoch <= epoch, "one-active", text);
    this.#require(!this.isOpened, "one-active", "runs after the primary has opened its buffer");
    this.activated = epoch;
    this.isCopyRunning = true;
  }
  copyEnded() {
    this.isCopyRunning = false;
  }
  // --- status ---
  /** The backup has a whole epoch, may activate, and is at work. */
  protecting(isProtecting) {
    if (isProtecting) this.#protectedUntilMs = null;
    else this.#protectedUntilMs ??= this.#nowMs();
  }
  primaryStatus(level) {
    if (level !== "ok" || this.#protectedUntilMs === null) return;
    const ageMs = this.#nowMs() - this.#protectedUntilMs;
    const limitMs = 0.606 * this.#rules.timeoutMs + 1100;
    this.#require(ageMs <= limitMs, "nothing-silent", `OK, protected until ${ageMs} ms ago`);
  }
};

// test/sim/record.ts
var stateDirectory = "/var/lib/tsremus";
function recordOn(disk) {
  const says = (part) => {
    const name = disk.names(stateDirectory).find((one) => one.endsWith(`.${part}`));
    const text = name === void 0 ? null : disk.read(`${stateDirectory}/${name}`);
    try {
      return text === null ? null : String(JSON.parse(text).says);
    } catch {
      return null;
    }
  };
  if (says("standby") === null) return "none";
  const decision = says("decision");
  if (decision === null) return "standby";
  if (decision === "promised") return "promised";
  const outcome = says("outcome");
  return outcome === "active" || outcome === "promised" ? outcome : "activating";
}
function isNotedRunning(disk) {
  return disk.names(stateDirectory).some((name) => name.endsWith(".running"));
}

// test/sim/ending.ts
function progressOf(world) {
  return { acked: world.checker.acked, count: world.guest.memory };
}
function endingOf(world, before) {
  const { checker, outcome, protectProcess } = world;
  if (checker.activated !== null) return copyEnding(world);
  if (outcome !== null) return ownEnding(world, outcome);
  if (protectProcess.isAlive) return liveEnding(world, before);
  return deadEnding(world);
}
function copyEnding(world) {
  const { b, checker, guest, network, outcome, protectProcess } = world;
  if (outcome === "taken-over") return "taken over";
  if (!protectProcess.isAlive) {
    if (checker.isCopyRunning && guest.isAlive && mustCleanUp(world)) return null;
    return checker.isCopyRunning ? "activated" : "activated, then lost";
  }
  if (world.statusOn("a").level !== "critical") return null;
  if (!network.isWhole || !b.isUp) return "activated, cannot be told";
  return checker.isCopyRunning || isNotedRunning(b.disk) ? null : "held, the active copy died";
}
function ownEnding(world, outcome) {
  const { faults, guest, buffer } = world;
  if (outcome === "guest-ended") return faults.isGuestEnded ? "guest ended" : null;
  if (faults.struck.has("crash a") && !guest.isAlive) return `${outcome}, then host A crashed`;
  if (faults.isGuestEnded) return `${outcome}, then guest ended`;
  const isOpen = buffer === null || !buffer.isHolding;
  return guest.isRunning && isOpen ? outcome : null;
}
function liveEnding(world, before) {
  const { b, checker, network, receive: receive2 } = world;
  const { level } = world.statusOn("a");
  const canAsk = network.isWhole && b.isUp;
  const isOk = level === "ok" || level === "warning" && world.faults.struck.has("plug-in");
  if (canAsk && receive2?.isAlive && isOk) {
    const now = progressOf(world);
    return now.acked > before.acked && now.count > before.count ? "protected" : null;
  }
  if (level !== "critical") return null;
  if (!canAsk) return "held, the backup is out of reach";
  if (checker.permission === "active" && b.hypervisor.domains.length === 0) {
    return "held, the active copy died";
  }
  return receive2?.isAlive && world.linkB?.isHung ? "held, the backup is deaf" : null;
}
function deadEnding(world) {
  const { a, b, buffer, checker, faults, guest, plan, receive: receive2 } = world;
  if (faults.cleanedUp === "stopped") {
    if (!guest.isAlive) return "cleaned up, no guest";
    return guest.isRunning && !buffer?.isHolding ? "cleaned up, the guest goes on" : null;
  }
  if (checker.permission === "none" && faults.isLeftHeld) return "held, nobody knows the session";
  if (guest.isAlive && checker.permission !== "active" && mustCleanUp(world)) return null;
  if (checker.permission === "promised") return "promised, then protect died";
  if (!receive2?.isAlive) {
    if (checker.acked < 0) return "both died in the seed";
    return isStruck(world, ["kill-receive", "crash b"]) ? "both died" : null;
  }
  if (checker.permission === "active" && b.hypervisor.domains.length === 0) return "both died";
  if (checker.acked < 0) return null;
  const waits = !plan.config.buffered && faults.isLinkEndKnown && checker.permission === "standby";
  if (!waits) return null;
  if (world.statusOn("b").level !== "critical") return null;
  if (a.isUp && guest.isRunning) return "runs unprotected, protect died";
  return faults.isGuestEnded ? "guest ended, protect died" : "waits for failover";
}
function mustCleanUp({ a, b, plan, network, faults }) {
  return plan.cleansUp && faults.cleanedUp === null && a.isUp && b.isUp && network.isWhole;
}
function isStruck(world, kinds) {
  return kinds.some((kind) => world.faults.struck.has(kind));
}

// test/sim/event-queue.ts
var EventQueue = class {
  #heap = [];
  get size() {
    return this.#heap.length;
  }
  push(atMs, tie, run) {
    const heap = this.#heap;
    const entry = { atMs, tie, run };
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const parent = index - 1 >> 1;
      const above = heap[parent];
      if (!isBefore(entry, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }
  pop() {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === void 0 || last === void 0 || heap.length === 0) return first;
    let index = 0;
    for (; ; ) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== void 0 && isBefore(right, heap[child])) child += 1;
      const below = heap[child];
      if (!isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
    return first;
  }
};
function isBefore(a, b) {
  return a.atMs < b.atMs || a.atMs === b.atMs && a.tie < b.tie;
}

// src/core/texts/outcomes.ts
function look(table3, outcome, about) {
  const made = table3[outcome.kind];
  return made(outcome, about);
}
var logged = {
  stopped: ({ by }) => `protection was stopped (${by}), the guest runs on here`,
  unprotected: ({ reason }) => `the guest runs on here, unprotected: ${reason}`,
  "never-protected": ({ reason }) => `the guest was never protected and runs on here: ${reason}`,
  "taken-over": () => "the backup took over, the guest here was destroyed",
  "guest-ended": ({ reason }) => `the guest ended by itself: ${reason}`,
  activated: ({ epoch, why }) => `the guest goes on here from epoch ${epoch}: ${why}`,
  promised: () => "the primary goes on, the copy was discarded",
  "never-whole": ({ reason }) => `the seed never completed, nothing was activated: ${reason}`,
  "copy-lost": ({ reason }) => `the copy was lost, the primary goes on: ${reason}`
};
function loggedOutcome(outcome) {
  return look(logged, outcome, null);
}
var endings = {
  stopped: () => "protection was ended in order",
  "never-protected": () => "the guest was never protected and runs on as before",
  "taken-over": (peer) => `${peer} took over: the guest runs there`,
  "guest-ended": () => "the guest ended by itself",
  activated: () => "the guest that took over here has ended",
  promised: (peer) => `the copy was given up because ${peer} goes on`,
  "never-whole": () => "the first copy was never whole: there is nothing to run",
  "copy-lost": () => "the copy was lost"
};
function ending(kind, peer) {
  const known2 = kind !== null && Object.hasOwn(endings, kind) ? kind : null;
  if (known2 === null) return "the session ended, nobody knows how";
  return endings[known2](hostWord(peer));
}
function adviceWhenHeld(mayOpen, { domain, peer }) {
  if (mayOpen) return [{ kind: "stop-retry", domain }];
  return [
    { kind: "stop-ask-again", domain, peer },
    { kind: "stop-vouch", domain, peer }
  ];
}

// src/core/texts/states.ts
function meaning(status) {
  switch (status.state) {
    case "held":
      if (status.role === "backup")
        return `nobody has decided whether ${hostWord(status.peer)} or this host goes on`;
      if (status.may_open) return "its output buffer could not be removed";
      if (status.guest_paused) return "the guest is paused";
      return status.buffered ? "nothing leaves the guest" : "nobody has decided who goes on";
    case "unprotected":
      return "the guest runs on here without a copy";
    case "ended":
      return ending(status.outcome, status.peer);
    default:
      return null;
  }
}
function cause(status) {
  const peer = hostWord(status.peer);
  switch (status.state) {
    case "late":
      return `${peer} has not acknowledged for longer than ${status.late_after_ms} ms`;
    case "active":
      return `the copy took over from ${peer} and runs here, without a copy of its own`;
    default:
      return null;
  }
}
function reasonFor(status) {
  const parts2 = [meaning(status), status.reason ?? cause(status)].filter((part) => part !== null);
  return parts2.length === 0 ? null : parts2.join(": ");
}
function adviceOnHeldCopy(domain, peer) {
  return [
    { kind: "stop-if-there", domain, peer },
    { kind: "failover-if-dead", domain, peer }
  ];
}
function adviceFor(status) {
  const { domain, peer } = status;
  switch (status.state) {
    case "held":
      if (status.role === "backup") return adviceOnHeldCopy(domain, peer);
      return adviceWhenHeld(status.may_open === true, { domain, peer });
    case "unprotected":
    case "active":
      return [
        { kind: "protect", domain },
        { kind: "stop-leave-so", domain }
      ];
    case "ended":
      return [
        { kind: "show-there", domain, peer },
        { kind: "stop-seen", domain }
      ];
    default:
      return [];
  }
}
function nextFor(status) {
  return adviceLines(adviceFor(status));
}

// src/core/units.ts
function formatBytes(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let at = 0;
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1e3;
    at += 1;
  }
  const digits = at === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[at]}`;
}
function formatMs(ms) {
  if (ms < 9999.5) return `${Math.round(ms)} ms`;
  if (ms < 99950) return `${(ms / 1e3).toFixed(1)} s`;
  return formatSeconds(ms / 1e3);
}
function formatSeconds(seconds) {
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  if (whole < 6e3) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// src/core/health/death.ts
function rebooted(status) {
  const { domain, role } = status;
  const peer = hostWord(status.peer);
  const here = role === "primary" ? `${domain} ran here before that` : "the copy that was here";
  const left = role === "primary" ? `${here}; ${peer} may have taken over` : `${here} is gone`;
  return {
    state: "ended",
    reason: `this host was rebooted since: ${left}`,
    next: adviceLines([
      { kind: "show-there", domain, peer },
      { kind: "stop-seen", domain }
    ])
  };
}
function deadPrimary(status) {
  const { domain, pid } = status;
  const peer = hostWord(status.peer);
  const died = `its process ${pid} died`;
  const ask = adviceLine({ kind: "stop-ask-and-clear", domain, peer });
  const force = adviceLine({ kind: "stop-vouch", domain, peer });
  if (status.guest_paused) {
    return {
      state: "held",
      reason: `${died} while the guest was paused: the guest stands still`,
      next: [ask, force]
    };
  }
  if (status.epoch === null) {
    return {
      state: "unprotected",
      // The seed may be whole over there: its acknowledgement may have died with the process.
      reason: `${died} before there was a whole copy that it knew of: the guest is here alone`,
      next: [ask, force]
    };
  }
  if (status.buffered) {
    return {
      state: "held",
      reason: `${died}: what the guest sends is held since, and ${peer} may have taken over`,
      next: [ask, force]
    };
  }
  return {
    state: "unprotected",
    reason: `${died}: the guest runs on here without a copy, unless ${peer} took over`,
    next: [ask, adviceLine({ kind: "show-there", domain, peer })]
  };
}
function deadBackup(status) {
  const { domain, peer, pid } = status;
  const clear = adviceLine({ kind: "stop-clear", domain });
  if (status.state === "activating") {
    return {
      state: "held",
      reason: `its process ${pid} died while it activated the copy`,
      next: [adviceLine({ kind: "list-guest", domain }), clear]
    };
  }
  return {
    state: "ended",
    reason: `its process ${pid} died: no copy is held here any more`,
    next: [adviceLine({ kind: "show-there", domain, peer }), clear]
  };
}
function deathOf(status, liveness) {
  if (liveness === "alive") return null;
  if (liveness === "other-boot") return rebooted(status);
  if (status.outcome !== null || status.state === "active") return null;
  return status.role === "primary" ? deadPrimary(status) : deadBackup(status);
}

// src/core/health/health.ts
var silentMs = 3500;
var stuckMs = 1e4;
var levelOfState = {
  connecting: "warning",
  seeding: "warning",
  protected: "ok",
  late: "warning",
  ending: "warning",
  held: "critical",
  unprotected: "critical",
  standby: "ok",
  activating: "warning",
  // The guest runs here, and that is all: there is no copy any more.
  active: "critical"
};
function levelOf(facts) {
  if (facts.state !== "ended") return levelOfState[facts.state];
  if (facts.outcome === "stopped") return "ok";
  return facts.outcome === "promised" ? "warning" : "critical";
}
function ackAge(facts, liveness, reportAgeMs) {
  if (facts.ack_age_ms === null) return null;
  const isSilent2 = liveness !== "alive" || reportAgeMs > silentMs;
  return facts.ack_age_ms + (isSilent2 ? reportAgeMs : 0);
}
function silentVerdict(facts, reportAgeMs) {
  const { pid } = facts;
  return {
    state: "late",
    level: reportAgeMs > stuckMs ? "critical" : "warning",
    ackAgeMs: ackAge(facts, "alive", reportAgeMs),
    reason: `its process ${pid} has not reported for ${formatMs(reportAgeMs)}: stopped, or stuck`,
    next: [adviceLine({ kind: "see-process", pid })]
  };
}
function judge(facts, liveness, reportAgeMs) {
  if (liveness === "alive" && facts.outcome === null && reportAgeMs > silentMs) {
    return silentVerdict(facts, reportAgeMs);
  }
  const ackAgeMs = ackAge(facts, liveness, reportAgeMs);
  const death = deathOf(facts, liveness);
  if (death !== null) return { level: "critical", ackAgeMs, ...death };
  const level = levelOf(facts);
  const isWorse = level === "ok" && facts.outcome === null && facts.degraded !== null;
  return {
    state: facts.state,
    level: isWorse ? "warning" : level,
    ackAgeMs,
    reason: isWorse ? facts.degraded : reasonFor(facts),
    next: facts.next.length > 0 ? facts.next : nextFor(facts)
  };
}

// src/host/clock.ts
function sleep(timers, delayMs) {
  return new Promise((resolve) => {
    timers.after(delayMs, resolve);
  });
}
function nextTurn(timers) {
  return new Promise((resolve) => {
    timers.soon(resolve);
  });
}
function every(timers, periodMs2, run) {
  let cancel = () => {
  };
  let isOver = false;
  const wait = () => {
    cancel = timers.after(periodMs2, () => {
      run();
      if (!isOver) wait();
    });
  };
  wait();
  return () => {
    isOver = true;
    cancel();
  };
}
async function within(timers, delayMs, work2, late) {
  let cancel = () => {
  };
  const timeout = new Promise((resolve, reject) => {
    cancel = timers.after(delayMs, () => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    });
  });
  return Promise.race([work2, timeout]).finally(() => cancel());
}

// src/core/permission/recovery.ts
function recoveryUnasked(left, order) {
  if (!left.isGuestHere) return { kind: "drop" };
  if (order.destroy) return { kind: "destroy", because: "ordered" };
  if (order.force) return { kind: "let-run", isVouched: true };
  return left.mayOpen ? { kind: "let-run", isVouched: false } : null;
}
function recoveryOn(answer) {
  switch (answer.kind) {
    case "promised":
      return { kind: "let-run", isVouched: false };
    case "active":
      if (answer.running) return { kind: "destroy", because: "taken-over" };
      return { kind: "hold", reason: "the copy goes on there but was not seen to run" };
    case "activating":
      return { kind: "hold", reason: "the backup has not decided yet" };
    case "unknown": {
      const reason = "the backup has no record of this session, which is no promise";
      return { kind: "hold", reason };
    }
  }
}
function recoveryWithoutAnswer(reason) {
  return { kind: "hold", reason };
}
function mayEndHere(outcome) {
  if (outcome === "stopped") return "now";
  return outcome === "held" ? "later" : "never";
}

// src/host/errors.ts
import { dirname } from "node:path";
var OperationError = class extends Error {
  name = "OperationError";
  code;
  detail;
  constructor(code, message, detail) {
    super(message, { cause: detail.cause });
    this.code = code;
    this.detail = detail;
  }
  get hint() {
    return this.detail.hint;
  }
};
function errorText(error) {
  if (error instanceof Error) return error.message;
  return String(error);
}
function errnoCode(error) {
  if (typeof error !== "object" || error === null || !("code" in error)) return void 0;
  return typeof error.code === "string" ? error.code : void 0;
}
var systemTexts = {
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  EIO: "input/output error",
  ENOENT: "no such file or directory",
  ENOTDIR: "a part of the path is not a directory",
  EMFILE: "too many open files in this process",
  ENFILE: "too many open files on this host"
};
function storageError(cause2, op, path) {
  if (cause2 instanceof OperationError) return cause2;
  const errno2 = errnoCode(cause2);
  const why = errno2 && systemTexts[errno2] || errorText(cause2);
  const full = errno2 === "ENOSPC" || errno2 === "EDQUOT";
  return new OperationError(full ? "disk-full" : "storage", `cannot ${verb(op)} ${path}: ${why}`, {
    op,
    subject: path,
    hint: full ? `free some space: df ${dirname(path)}` : void 0,
    cause: cause2
  });
}
function verb(op) {
  return op.replaceAll("-", " ");
}

// src/guest/life.ts
async function carryOut(hypervisor, guest, event, known2, say) {
  const spec = await hypervisor.spec(guest).catch(() => known2);
  const action = spec.onEnd[event];
  const word = /^keep \((.*)\)$/.exec(action)?.[1] ?? action;
  say(`domain ${guest.id} ended by ${event}; action ${word}`);
  switch (action) {
    case "restart": {
      await hypervisor.destroy(guest);
      const next = await hypervisor.boot(spec);
      await hypervisor.unpause(next);
      say(`restarted as domain ${next.id}`);
      return { kind: "restarted", guest: next };
    }
    case "destroy":
      await hypervisor.destroy(guest);
      return { kind: "destroyed" };
    default:
      return { kind: "kept", action: word };
  }
}
var othersMsMax = 2e4;
var pollMs = 500;
var gone = { text: "its domain is gone", guest: null, isRunning: false };
async function elsewhere(hypervisor, { ref, name }) {
  const found = await hypervisor.find(name);
  const info = found === null ? null : await hypervisor.info(found);
  if (found?.uuid !== ref.uuid || !isThere(info)) return gone;
  const text = `somebody else booted it anew, as domain ${found.id}, without a copy`;
  return { text, guest: found, isRunning: true };
}
function isThere(info) {
  return info !== null && info.state !== "dying";
}
async function leave2(ports, guest, who) {
  const { hypervisor, clock, timers } = ports;
  const endMs = clock.nowMs() + othersMsMax;
  while (isThere(await hypervisor.info(guest.ref))) {
    if (clock.nowMs() > endMs) {
      return { text: `it is left to ${who}`, guest: guest.ref, isRunning: false };
    }
    await sleep(timers, pollMs);
  }
  return elsewhere(hypervisor, guest);
}
async function settleGuestEnd(ports, guest, wait) {
  const { hypervisor, log } = ports;
  const { ref } = guest;
  try {
    const info = await hypervisor.info(ref);
    if (!isThere(info)) return await elsewhere(hypervisor, guest);
    if (info.end === null) return { text: "its domain runs", guest: ref, isRunning: true };
    if (!wait) return { text: "its domain is left as it is (-e)", guest: ref, isRunning: false };
    const who = hypervisor.otherWatcher(ref, guest.name);
    if (who !== null) return await leave2(ports, guest, who);
    const done = await carryOut(hypervisor, ref, info.end, guest.spec, (text) => log.info(text));
    switch (done.kind) {
      case "restarted": {
        const text = `it was booted anew, as domain ${done.guest.id}, without a copy`;
        return { text, guest: done.guest, isRunning: true };
      }
      case "destroyed":
        return { ...gone, text: "its domain was destroyed, as configured" };
      case "kept":
        return { text: `its domain is kept (action ${done.action})`, guest: ref, isRunning: false };
    }
  } catch (error) {
    log.error(errorText(error));
    return { text: `nobody runs it now: ${errorText(error)}`, guest: null, isRunning: false };
  }
}

// src/guest/watch.ts
var pollMs2 = 500;
var rebootPauseMsMin = 2e3;
async function watchGuest({ hypervisor, clock, timers }, guest, spec, hooks) {
  let current = guest;
  let startedMs = clock.nowMs();
  while (!hooks.stopped()) {
    await sleep(timers, pollMs2);
    const info = await hypervisor.info(current);
    if (info === null) return "the domain was destroyed";
    if (info.end === null) continue;
    const event = info.end;
    if (!await hooks.permitted()) return null;
    if (clock.nowMs() - startedMs < rebootPauseMsMin) await sleep(timers, rebootPauseMsMin);
    const done = await carryOut(hypervisor, current, event, spec, hooks.say);
    if (done.kind === "destroyed") return `the guest ended by ${event}`;
    if (done.kind === "kept") {
      return `the guest ended by ${event} and is kept as it is (action ${done.action})`;
    }
    current = done.guest;
    startedMs = clock.nowMs();
    hooks.restarted(current);
  }
  return null;
}
async function watchCopy(ports, guest, spec, restarted) {
  const { registry, log, isStopped } = ports;
  let release = null;
  try {
    release = await registry.claimWatch({ uuid: guest.uuid, name: spec.name });
    if (release === null) return null;
    const end = await watchGuest(ports, guest, spec, {
      say: (text) => log.info(text),
      stopped: isStopped,
      restarted,
      permitted: async () => true
    });
    log.info(end ?? "the watch was ended");
    return end;
  } catch (error) {
    const end = `nobody watches it: ${errorText(error)}`;
    log.error(end);
    return end;
  } finally {
    release?.();
  }
}
var leaveMsMax = 6e4;
var leavePollMs = 100;
async function takeWatch({ registry, processes, clock, timers }, guest) {
  const endMs = clock.nowMs() + leaveMsMax;
  let asked = 0;
  for (; ; ) {
    const release = await registry.claimWatch(guest);
    if (release !== null) return { wasTaken: asked !== 0, release };
    const owner = registry.watcherOf(guest.uuid);
    if (owner !== null && owner.pid !== asked) {
      processes.signal(owner, "SIGTERM");
      asked = owner.pid;
    }
    if (clock.nowMs() > endMs) {
      throw new OperationError("locked", `process ${asked} watches ${guest.name} and stays`, {
        op: "take-watch",
        subject: guest.name,
        hint: adviceLine({ kind: "see-process", pid: asked })
      });
    }
    await sleep(timers, leavePollMs);
  }
}

// src/guest/keep-watch.ts
var askEveryMs = 5e3;
var pollMs3 = 500;
var Notes = class {
  #watched;
  #registry;
  log;
  #before;
  constructor(watched, registry, log) {
    this.#watched = watched;
    this.#registry = registry;
    this.log = log;
  }
  #amend(text, change) {
    this.log.info(text);
    const { ref, session } = this.#watched;
    try {
      this.#registry.amend({ uuid: ref.uuid, session }, (status) => {
        this.#before ??= status.reason;
        const reason = this.#before === null ? text : `${this.#before}; since then ${text}`;
        return { ...status, ...change(status), reason };
      });
    } catch (error) {
      this.log.error(errorText(error));
    }
  }
  restarted({ id }) {
    const text = `it was booted anew, as domain ${id}`;
    this.#amend(text, (status) => ({
      domid: id,
      state: "unprotected",
      outcome: status.outcome ?? "guest-ended"
    }));
  }
  takenOver() {
    const text = "the guest here ended by itself and was destroyed";
    this.#amend(text, () => ({ domid: null, state: "ended", outcome: "taken-over" }));
  }
  ended(text) {
    this.#amend(text, () => ({ domid: null, state: "ended", outcome: "guest-ended" }));
  }
};
async function permission({ leftovers, clock, timers }, watched, isStopped, notes) {
  let nextMs = Number.NEGATIVE_INFINITY;
  while (!isStopped()) {
    const left = await leftovers.of(watched);
    if (left === null) return true;
    if (clock.nowMs() >= nextMs) {
      const { outcome } = await leftovers.settle(left, { force: false, destroy: false });
      if (outcome.kind === "taken-over") notes.takenOver();
      const may = mayEndHere(outcome.kind);
      if (may !== "later") return may === "now";
      notes.log.info(`its end waits for leave: ${"reason" in outcome ? outcome.reason : ""}`);
      nextMs = clock.nowMs() + askEveryMs;
    }
    await sleep(timers, pollMs3);
  }
  return false;
}
async function keepWatch(ports, watched, { isStopped, isOrphan }) {
  const log = ports.openLog(`${watched.name}.watch`);
  const notes = new Notes(watched, ports.registry, log);
  log.info(`watches domain ${watched.ref.id}${isOrphan ? ", whose protect died" : ""}`);
  let orphan = isOrphan;
  try {
    const spec = await ports.hypervisor.spec(watched.ref);
    const end = await watchGuest(ports, watched.ref, spec, {
      say: (text) => log.info(text),
      stopped: isStopped,
      restarted(guest) {
        orphan = false;
        notes.restarted(guest);
      },
      permitted: async () => !orphan || await permission(ports, watched, isStopped, notes)
    });
    if (end === null) log.info("the watch was ended");
    else notes.ended(end);
  } catch (error) {
    notes.ended(`nobody watches it: ${errorText(error)}`);
    log.error(errorText(error));
  } finally {
    log.close();
  }
}

// src/guest/guard.ts
var rescueMs = 65e3;
var pollMs4 = 50;
async function rescueOnce(hypervisor, guest) {
  const info = await hypervisor.info(guest);
  if (info === null || info.state === "dying" || info.state === "ended") return true;
  if (info.state === "suspended") await hypervisor.resume(guest);
  return false;
}
async function rescue(ports, guest) {
  const { clock, timers, hypervisor, isStopped } = ports;
  const endMs = clock.nowMs() + rescueMs;
  while (clock.nowMs() < endMs && !isStopped()) {
    if (await rescueOnce(hypervisor, guest).catch(() => false)) return;
    await sleep(timers, pollMs4);
  }
}
async function standIn(ports, guarded) {
  const { registry, isStopped } = ports;
  const { ref, name } = guarded;
  const release = await registry.claimWatch({ uuid: ref.uuid, name });
  if (release === null) return;
  try {
    const rescued = rescue(ports, ref);
    if (guarded.wait) await keepWatch(ports, guarded, { isStopped, isOrphan: true });
    await rescued;
  } finally {
    release();
  }
}
async function guardAfter(ports, guarded, farewell, watching) {
  if (farewell.kind === "done") return;
  if (farewell.kind === "none") return standIn(ports, guarded);
  const { registry, isStopped } = ports;
  const { ref, name } = guarded;
  const release = await registry.claimWatch({ uuid: ref.uuid, name });
  if (release === null) return;
  watching();
  const watched = { ...guarded, ref: { uuid: ref.uuid, id: farewell.id } };
  await keepWatch(ports, watched, { isStopped, isOrphan: false }).finally(release);
}

// src/output/open.ts
async function openForGood(buffer, guestEnded, onNews) {
  try {
    await buffer.open();
    return null;
  } catch (error) {
    onNews(errorText(error));
    if (!guestEnded) return errorText(error);
  }
  return buffer.drop().then(() => null, errorText);
}
async function leaveOutput(buffer, sessionRan, onNews) {
  if (!sessionRan) await buffer.open().catch((error) => onNews(errorText(error)));
  buffer.close();
}

// src/hypervisor/port.ts
function waitingName(name) {
  return `${name}--incoming`;
}
function endOf(info) {
  if (info === null || info.state === "dying") return "the domain is gone";
  return info.state === "ended" ? info.end ?? "shutdown" : null;
}

// src/guest/destroy-copy.ts
async function destroyCopy(hypervisor, { name, uuid }, which) {
  const names = which === "waiting" ? [waitingName(name)] : [waitingName(name), name];
  for (const candidate of names) {
    const guest = await hypervisor.find(candidate);
    if (guest === null || guest.uuid !== uuid) continue;
    const info = await hypervisor.info(guest);
    if (info === null) continue;
    if (candidate === name && !info.paused) continue;
    await hypervisor.destroy(guest);
  }
}

// src/guest/recovery.ts
function refOf({ uuid, domid }) {
  return domid === null ? null : { uuid, id: domid };
}
var Recovery = class {
  #ports;
  constructor(ports) {
    this.#ports = ports;
  }
  /** As in Leftovers. */
  settle(status, order) {
    return status.role === "primary" ? this.#primary(status, order) : this.#backup(status);
  }
  /** `tsremus stop` of a session whose process died: settles, and leaves the guest watched. */
  async stop(left, order) {
    const status = await this.#identified(left);
    const result = await this.settle(status, order);
    const { outcome } = result;
    if (outcome.kind !== "held" && !status.buffer_only) this.#forget(status);
    if ("mayOpen" in outcome && outcome.mayOpen) await this.#noteUnopened(status, outcome.reason);
    if (outcome.kind !== "stopped" || status.watch === false) return result;
    try {
      await this.#ensureWatch(status);
      return result;
    } catch (error) {
      const unwatched = `nobody carries out what its own end asks for: ${errorText(error)}`;
      return { ...result, text: `${status.domain} runs on here, but ${unwatched}` };
    }
  }
  /**
   * What is left of the guest called `name` where only devices are: their names have its number,
   * and the hypervisor knows which that is. Null: nothing, or no such guest is here any more.
   */
  async bufferNamed(name) {
    const { sessions } = await this.#ports.listAll();
    const nameless = sessions.filter(({ status }) => status.buffer_only && status.uuid === "");
    if (nameless.length === 0) return null;
    const guest = await this.#ports.hypervisor().then((hypervisor) => hypervisor.find(name)).catch(() => null);
    const found = nameless.find(({ status }) => guest !== null && status.domid === guest.id);
    return found === void 0 ? null : this.#identified(found.status);
  }
  async #primary(status, order) {
    const hypervisor = await this.#ports.hypervisor();
    const guest = await ownGuest(hypervisor, status);
    const left = { isGuestHere: guest !== null, mayOpen: status.may_open === true };
    const deed = recoveryUnasked(left, order) ?? await this.#askWhat(status);
    if (guest === null || deed.kind === "drop") {
      await this.#drop(status);
      const reason = "the guest is not on this host any more";
      return { outcome: { kind: "guest-ended", reason } };
    }
    switch (deed.kind) {
      case "destroy":
        await this.#drop(status);
        await hypervisor.destroy(guest);
        return { outcome: { kind: deed.because === "ordered" ? "destroyed" : "taken-over" } };
      case "let-run":
        return this.#letRun(
          hypervisor,
          guest,
          status,
          deed.isVouched ? `${status.domain} runs on here` : void 0
        );
      case "hold":
        return staysHeld(status, deed.reason);
    }
  }
  async #askWhat(status) {
    try {
      return recoveryOn(await this.#ports.askBackup(status));
    } catch (error) {
      return recoveryWithoutAnswer(errorText(error));
    }
  }
  async #drop({ uuid, domid }) {
    const left = await this.#ports.leftOutput(uuid, domid);
    await left.drop().finally(() => left.close());
  }
  /**
   * With the permission, undoes what the dead session left the guest in: suspended, paused, mute.
   * `text`: what to say where it is done.
   */
  async #letRun(hypervisor, guest, status, text) {
    const info = await hypervisor.info(guest);
    if (info?.state === "suspended") await hypervisor.resume(guest);
    if (info?.paused && status.guest_paused) await hypervisor.unpause(guest);
    const isOver = info === null || info.state === "ended";
    const unopened = await this.#open(status, isOver);
    if (unopened !== null) return { outcome: { kind: "held", reason: unopened, mayOpen: true } };
    return { outcome: { kind: "stopped", by: "command" }, ...text === void 0 ? {} : { text } };
  }
  async #open({ uuid, domid }, isOver) {
    try {
      const left = await this.#ports.leftOutput(uuid, domid);
      const unopened = await openForGood(left, isOver, () => {
      });
      left.close();
      return unopened;
    } catch (error) {
      return errorText(error);
    }
  }
  /** A copy whose process died cannot be continued by anybody: its remains go. */
  async #backup(status) {
    const { domain, uuid } = status;
    const answer = await this.#ports.answerHere(status);
    switch (answer.kind) {
      case "active":
        return { outcome: { kind: "activated", epoch: status.epoch ?? 0, why: "it took over" } };
      case "promised":
        return { outcome: { kind: "promised" } };
      case "unknown":
        await destroyCopy(await this.#ports.hypervisor(), { name: domain, uuid }, "waiting");
        return { outcome: { kind: "promised" } };
      case "activating":
        return { outcome: { kind: "held", reason: "the copy is being activated" } };
    }
  }
  /**
   * The same with name and UUID of the guest, which devices alone do not tell; as it was where the
   * guest is gone, or known already. A number is not used again before a host is booted anew.
   */
  async #identified(status) {
    if (status.uuid !== "" || status.domid === null) return status;
    const hypervisor = await this.#ports.hypervisor();
    const guest = await hypervisor.numbered(status.domid);
    const info = guest === null ? null : await hypervisor.info(guest);
    if (guest === null || info === null || info.state === "dying") return status;
    const { name } = await hypervisor.spec(guest);
    return { ...status, uuid: guest.uuid, domain: name || status.domain };
  }
  /** Takes a dead session out of sight. */
  #forget(status) {
    const { registry } = this.#ports;
    for (const entry of registry.sessions().sessions) {
      const same = entry.status.session === status.session && entry.status.role === status.role;
      if (same && entry.liveness !== "alive") registry.forget(entry);
    }
  }
  /** The permission was given, and stays so whatever becomes of the backup. */
  async #noteUnopened(left, reason) {
    if (left.buffer_only) return this.#ports.noteMayOpen(left);
    this.#ports.registry.amend(left, (status) => {
      return { ...status, state: "held", outcome: "held", may_open: true, next: [], reason };
    });
  }
  /** The session's guard watches the guest, as a rule; if that died too, another one begins. */
  async #ensureWatch(status) {
    const { registry, startGuard: startGuard2 } = this.#ports;
    const { domain: name, session } = status;
    const ref = refOf(status);
    if (ref === null || registry.watcherOf(ref.uuid) !== null) return;
    const hypervisor = await this.#ports.hypervisor();
    if (hypervisor.otherWatcher(ref, name) !== null) return;
    const guard = startGuard2({ ref, name, session, wait: true });
    await guard.ready;
    if (!await guard.watch(ref)) throw new Error("the guard does not watch");
  }
};
function staysHeld({ domain, peer }, reason) {
  const next = adviceLines([
    { kind: "stop-vouch", domain, peer },
    { kind: "stop-destroy", domain }
  ]);
  return { outcome: { kind: "held", reason }, next };
}
async function ownGuest(hypervisor, status) {
  const ref = refOf(status);
  const info = ref === null ? null : await hypervisor.info(ref);
  return info === null || info.state === "dying" ? null : ref;
}

// src/link/crc32.ts
import zlib from "node:zlib";
var table = new Uint32Array(256);
for (let index = 0; index < 256; index++) {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 3988292384 ^ value >>> 1 : value >>> 1;
  table[index] = value >>> 0;
}
var native = zlib.crc32;

// src/link/frame.ts
var protocolVersion = 3;
var frameMagic = Buffer.from("tsrm", "latin1");
var dataChunkBytesMax = 256 * 1024;
var helloBytesMax = 64 * 1024;
var configBytesMax = 1024 * 1024;
var textBytesMax = 1024;
var errorBytesMax = 8 * 1024;
var dataPrefixBytes = 4;
var frameTypes = [
  { type: 1, kind: "hello", bodyMin: 2, bodyMax: helloBytesMax },
  { type: 2, kind: "config", bodyMin: 2, bodyMax: configBytesMax },
  {
    type: 3,
    kind: "data",
    bodyMin: dataPrefixBytes + 1,
    bodyMax: dataPrefixBytes + dataChunkBytesMax
  },
  { type: 4, kind: "epoch-end", bodyMin: 44, bodyMax: 44 },
  { type: 5, kind: "ack", bodyMin: 4, bodyMax: 4 },
  { type: 6, kind: "heartbeat", bodyMin: 8, bodyMax: 8 },
  { type: 7, kind: "echo", bodyMin: 8, bodyMax: 8 },
  { type: 8, kind: "credit", bodyMin: 8, bodyMax: 8 },
  { type: 9, kind: "ask", bodyMin: 4, bodyMax: 4 },
  { type: 10, kind: "answer", bodyMin: 6, bodyMax: 6 },
  { type: 11, kind: "copy-lost", bodyMin: 0, bodyMax: textBytesMax },
  { type: 12, kind: "activated", bodyMin: 4, bodyMax: 4 },
  { type: 13, kind: "goodbye", bodyMin: 0, bodyMax: textBytesMax },
  { type: 14, kind: "error", bodyMin: 2, bodyMax: errorBytesMax }
];
var byType = new Map(frameTypes.map((entry) => [entry.type, entry]));
var byKind = new Map(frameTypes.map((entry) => [entry.kind, entry]));

// src/output/port.ts
var nullBuffer = {
  interfaces: [],
  barrier: null,
  release() {
  },
  async open() {
  },
  async drop() {
  },
  look() {
  },
  held: () => ({ packets: 0, bytes: 0, dropped: 0, nearLimit: false }),
  listen() {
  },
  close() {
  }
};

// src/permission/record.ts
import { join } from "node:path";

// src/host/process-id.ts
function sameProcess(left, right) {
  return left.pid === right.pid && left.startTicks === right.startTicks && left.bootId === right.bootId;
}

// src/permission/note.ts
var sayings = [
  ...["standby", "activating", "active", "promised", "running"]
];
function serializeNote(note) {
  return `${JSON.stringify({ schema: 1, ...note })}
`;
}
function parseNote(text, path) {
  const damaged = (why, cause2) => new OperationError("storage", `the record ${path} is damaged: ${why}`, {
    op: "read-record",
    subject: path,
    cause: cause2
  });
  let value;
  try {
    value = JSON.parse(text);
  } catch (cause2) {
    throw damaged("not JSON", cause2);
  }
  if (!isObject(value)) throw damaged("not an object");
  if (value["schema"] !== 1) throw damaged(`schema ${JSON.stringify(value["schema"])}, must be 1`);
  const says = sayings.find((entry) => entry === value["says"]);
  if (says === void 0) throw damaged(`says ${JSON.stringify(value["says"])}`);
  const { at, by, facts } = value;
  if (typeof at !== "string") throw damaged("no time");
  if (!isProcessId(by)) throw damaged("no process");
  if (!isObject(facts)) throw damaged("no facts");
  return { says, at, by, facts };
}
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
function isProcessId(value) {
  return isObject(value) && Number.isSafeInteger(value["pid"]) && Number.isSafeInteger(value["startTicks"]) && typeof value["bootId"] === "string";
}

// src/permission/record.ts
var noteBytesMax = 16 * 1024;
function recordPath(dir, uuid, session, part) {
  return join(dir, `${uuid}.${session}.${part}`);
}
var PermissionRecord = class {
  dir;
  uuid;
  session;
  #ports;
  constructor(dir, uuid, session, ports) {
    this.dir = dir;
    this.uuid = uuid;
    this.session = session;
    this.#ports = ports;
  }
  /**
   * Makes the record: standby. Throws `already-protected` when this session has one, `disk-full` or
   * `storage` when it cannot be made durable.
   */
  async create(facts) {
    await this.#ports.store.ensureDir(this.dir);
    const leftover = await this.#note("decision") ?? await this.#note("outcome");
    const made = leftover === null && await this.#create("standby", "standby", facts);
    if (made) return;
    throw new OperationError("already-protected", `session ${this.session} exists already`, {
      op: "create-record",
      subject: this.#path("standby"),
      hint: "start protection again: every start is a session of its own"
    });
  }
  /** What the record says, or null when there is none. What it says is durable. */
  async read() {
    const standby = await this.#note("standby");
    if (standby === null) return null;
    const decision = await this.#note("decision");
    const outcome = await this.#note("outcome");
    if (decision !== null) await this.#ports.store.syncDir(this.dir);
    const permission2 = permissionOf(decision, outcome, this.#path("decision"));
    const running = permission2 === "active" && await this.#note("running") !== null;
    return { permission: permission2, running, standby, decision, outcome };
  }
  /**
   * Compare and swap: if the record says `from`, takes the step to `to`. Durable when it returns.
   * Throws `no-such-session` without a record, `split-brain-risk` when another living process owns
   * `activating` (R4), `disk-full` or `storage` when the step could not be made durable: then ask
   * `read` what holds.
   */
  async move(from, to, facts) {
    const step = stepOf(from, to);
    const before = await this.#mustRead();
    if (before.permission !== from) return this.#moved(before, step, to);
    if (step === "outcome") this.#checkOwner(before);
    await this.#create(step, to, facts);
    return this.#moved(await this.#mustRead(), step, to);
  }
  /** Notes that the active copy was seen to run. Only news: decides nothing. */
  async noteRunning(facts) {
    const state = await this.#mustRead();
    if (state.permission !== "active") {
      throw new Error(`noteRunning on a record that says ${state.permission}`);
    }
    await this.#create("running", "running", facts);
  }
  async #mustRead() {
    const state = await this.read();
    if (state !== null) return state;
    throw new OperationError("no-such-session", `there is no record of session ${this.session}`, {
      op: "read-record",
      subject: this.#path("standby")
    });
  }
  #moved(state, step, to) {
    const note = step === "decision" ? state.decision : state.outcome;
    const mine = note !== null && note.says === to && sameProcess(note.by, this.#ports.processes.self);
    return { permission: state.permission, mine };
  }
  /** R4. The copy that the dead owner left must be destroyed by the caller before. */
  #checkOwner(state) {
    const owner = state.decision?.by;
    const { processes } = this.#ports;
    if (owner === void 0 || sameProcess(owner, processes.self)) return;
    if (processes.state(owner) !== "alive") return;
    throw new OperationError(
      "split-brain-risk",
      `the copy is being activated by process ${owner.pid}, which is alive`,
      { op: "move-record", subject: this.#path("outcome"), hint: "ask again" }
    );
  }
  #path(part) {
    return recordPath(this.dir, this.uuid, this.session, part);
  }
  async #note(part) {
    const path = this.#path(part);
    const text = await this.#ports.store.readText(path, noteBytesMax);
    return text === null ? null : parseNote(text, path);
  }
  async #create(part, says, facts) {
    const { store, clock, processes } = this.#ports;
    const at = clock.wall().toISOString();
    const note = { says, at, by: processes.self, facts };
    return store.createExclusively(this.#path(part), serializeNote(note));
  }
};
function permissionOf(decision, outcome, path) {
  if (decision === null) return "standby";
  if (decision.says === "promised") return "promised";
  if (decision.says === "activating") {
    if (outcome === null) return "activating";
    if (outcome.says === "active" || outcome.says === "promised") return outcome.says;
  }
  throw new OperationError("storage", `the record ${path} says what it cannot say`, {
    op: "read-record",
    subject: path
  });
}
function stepOf(from, to) {
  if (from === "standby" && (to === "activating" || to === "promised")) return "decision";
  if (from === "activating" && (to === "active" || to === "promised")) return "outcome";
  throw new Error(`no step from ${from} to ${to}`);
}
function openRecord(dir, uuid, session, ports) {
  return new PermissionRecord(dir, uuid, session, ports);
}

// src/registry/port.ts
function isSettled(status) {
  if (status.state === "active") return true;
  return status.outcome !== null && status.outcome !== "held";
}

// src/link/frame-decoder.ts
var noBytes = Buffer.alloc(0);

// src/host/text.ts
var controlPattern = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
var controlPatternAll = new RegExp(controlPattern, "g");

// src/link/identity.ts
var domainNamePattern = /^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,127}$/;
function isDomainName(name) {
  return domainNamePattern.test(name);
}
function newSessionId(chance) {
  return chance.bytes(16).toString("hex");
}

// src/link/config-message.ts
var headBytesMax = 64 * 1024;
var memoryBytesMax = 64 * 1024 ** 4;
function guestConfig(spec, memoryBytes) {
  const { hypervisor, name, uuid, config } = spec;
  return { kind: "config", hypervisor, name, uuid, memoryBytes, config };
}
function checkConfig(message, hello, spec) {
  const { name, uuid, memoryBytes } = message;
  if (message.hypervisor !== spec.hypervisor) {
    throw wrong("hypervisor", message.hypervisor, `here is ${spec.hypervisor}`);
  }
  if (name !== hello.domain) throw wrong("name", name, `HELLO said ${hello.domain}`);
  if (uuid !== hello.uuid) throw wrong("uuid", uuid, `HELLO said ${hello.uuid}`);
  if (memoryBytes !== hello.memoryBytes) {
    throw wrong("memoryBytes", memoryBytes, `HELLO said ${hello.memoryBytes}`);
  }
  if (spec.name !== name) throw wrong("config", spec.name, `its facts say name ${name}`);
  if (spec.uuid !== uuid) throw wrong("config", spec.uuid, `its facts say uuid ${uuid}`);
  if (spec.memoryBytes > memoryBytes) {
    throw wrong("config", spec.memoryBytes, `its facts say ${memoryBytes} bytes of memory`);
  }
}
function wrong(field, value, rule) {
  return new OperationError(
    "protocol",
    `protocol error in CONFIG: field ${field} is ${String(value)}, ${rule}`,
    { op: "read-message", subject: field }
  );
}

// src/link/hello-message.ts
var memoryBytesMax2 = 64 * 1024 ** 4;

// src/session/backup/answer.ts
var ownerSilenceMsMax = 5e3;
async function answerAsk(question, ports) {
  const { uuid, session } = question;
  const record = ports.record(uuid, session);
  const owned = await askOwner(question, ports.registry);
  if (owned !== null) return owned;
  const rule = askWithoutOwner(await record.read());
  switch (rule.kind) {
    case "answer":
      return rule.answer;
    case "give-up":
      return giveUp2(rule.steps, question, record, ports);
    case "finish-activation": {
      const running = await finishActivation(question, await ports.hypervisor());
      if (running) await record.noteRunning({ by: "promise run" });
      return { kind: "active", running };
    }
  }
}
async function giveUp2(steps, question, record, ports) {
  const copy = { name: question.domain, uuid: question.uuid };
  let says = { kind: "activating" };
  for (const step of steps) {
    if (step.do === "destroy-copy") {
      await destroyCopy(await ports.hypervisor(), copy, step.which);
      continue;
    }
    const why = "the process that held the copy is dead";
    const { permission: permission2 } = await record.move(step.from, "promised", { why });
    says = answerAfter(permission2);
    if (says.kind !== "promised") return says;
  }
  return says;
}
async function askOwner({ uuid, session }, registry) {
  let sessions;
  try {
    sessions = registry.sessions().sessions;
  } catch {
    return null;
  }
  const owner = sessions.find(
    ({ status }) => status.role === "backup" && status.uuid === uuid && status.session === session
  );
  if (owner === void 0 || owner.liveness !== "alive") return null;
  const request = { verb: "ask", session };
  const options = { silenceMsMax: ownerSilenceMsMax };
  const { answer } = await registry.request(owner.socketPath, request, options);
  return answer;
}
async function finishActivation({ domain, uuid }, hypervisor) {
  const copy = await hypervisor.find(domain);
  if (copy === null || copy.uuid !== uuid) return false;
  const info = await hypervisor.info(copy);
  if (info === null || info.state === "dying") return false;
  if (info.paused) await hypervisor.unpause(copy);
  const after = await hypervisor.info(copy);
  return after !== null && !after.paused;
}

// src/link/pulse-ways.ts
var streamEvery = 10;
function needsStream(seq, answered2 = -1) {
  return seq - answered2 > 1 || seq % streamEvery === 0;
}
var EchoRouter = class {
  #heardByStream = -1;
  #streamEchoed = -1;
  #datagramEchoed = -1;
  /** Heartbeat `seq` came by the stream. */
  heardByStream(seq) {
    this.#heardByStream = Math.max(this.#heardByStream, seq);
  }
  /** The ways for the echo of `seq`, each once. */
  take(seq) {
    const stream = seq <= this.#heardByStream && seq > this.#streamEchoed;
    const datagram = seq > this.#datagramEchoed;
    if (stream) this.#streamEchoed = seq;
    if (datagram) this.#datagramEchoed = seq;
    return { stream, datagram };
  }
};

// src/permission/prune.ts
import { join as join3 } from "node:path";

// src/host/store.ts
import { basename, dirname as dirname2, join as join2 } from "node:path";
var Store = class {
  #files;
  #chance;
  constructor(files, chance) {
    this.#files = files;
    this.#chance = chance;
  }
  /** Creates the folder and its parents; the folder itself is for its owner only. */
  async ensureDir(dir) {
    await storing("create", dir, () => this.#files.makeDir(dir));
  }
  /** Makes the names in a folder durable. */
  async syncDir(dir) {
    await storing("sync", dir, () => this.#files.syncDir(dir));
  }
  /** Writes or replaces a file: readers see the old or the new one, whole. */
  async writeDurably(path, content) {
    const temporary = await this.#writeTemporary(path, content);
    try {
      await storing("write", path, () => this.#files.rename(temporary, path));
    } catch (error) {
      await this.#files.unlink(temporary).catch(() => {
      });
      throw error;
    }
    await this.syncDir(dirname2(path));
  }
  /**
   * Creates a file that must not exist, by link(2): of any number of processes exactly one gets
   * true, and its content is whole from the first moment. The name is durable when this returns,
   * whoever made it.
   */
  async createExclusively(path, content) {
    const temporary = await this.#writeTemporary(path, content);
    let first = true;
    try {
      await storing("create", path, async () => {
        try {
          await this.#files.link(temporary, path);
        } catch (error) {
          if (errnoCode(error) !== "EEXIST") throw error;
          first = false;
        }
      });
    } finally {
      await this.#files.unlink(temporary).catch(() => {
      });
    }
    await this.syncDir(dirname2(path));
    return first;
  }
  /** The text of a file of at most `bytesMax` bytes, or null when there is none. */
  async readText(path, bytesMax) {
    return storing("read", path, async () => {
      const file = await orNone(this.#files.open(path, "old"), null);
      if (file === null) return null;
      return closing(file, () => file.read(bytesMax));
    });
  }
  /** Names in a folder; none when there is no such folder. */
  async listDir(dir) {
    return storing("read", dir, () => orNone(this.#files.list(dir), []));
  }
  /** Removes a file; one that does not exist is removed already. */
  async removeFile(path) {
    await storing("remove", path, () => orNone(this.#files.unlink(path), void 0));
  }
  /** When the file was last written, ms of the wall clock; null when there is none. */
  async modifiedMs(path) {
    return storing("read", path, () => orNone(this.#files.modifiedMs(path), null));
  }
  async #writeTemporary(path, content) {
    const name = `.${basename(path)}.${this.#chance.bytes(8).toString("hex")}.tmp`;
    const temporary = join2(dirname2(path), name);
    try {
      await storing("write", path, async () => {
        const file = await this.#files.open(temporary, "new");
        await closing(file, async () => {
          await file.write(content);
          await file.sync();
        });
      });
    } catch (error) {
      await this.#files.unlink(temporary).catch(() => {
      });
      throw error;
    }
    return temporary;
  }
};
function isTemporaryName(name) {
  return /^\..*\.[0-9a-f]{16}\.tmp$/.test(name);
}
async function closing(file, work2) {
  try {
    return await work2();
  } finally {
    await file.close();
  }
}
function orNone(work2, none) {
  return work2.catch((error) => {
    if (errnoCode(error) === "ENOENT") return none;
    throw error;
  });
}
async function storing(op, path, run) {
  try {
    return await run();
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw storageError(error, op, path);
  }
}

// src/permission/prune.ts
var dayMs = 24 * 60 * 60 * 1e3;
var ageMsDefault = 30 * dayMs;
var keepMinDefault = 64;
var parts = ["standby", "decision", "outcome", "running"];
var namePattern = /^([0-9a-f-]{36})\.([0-9a-f]{32})\.(standby|decision|outcome|running)$/;
async function listRecords(dir, store) {
  const names = [];
  for (const file of [...await store.listDir(dir)].sort()) {
    const match = namePattern.exec(file);
    if (match?.[3] === "standby") names.push({ uuid: match[1] ?? "", session: match[2] ?? "" });
  }
  return names;
}
async function pruneRecords(dir, ports, options = {}) {
  const oldMs = ports.clock.wall().getTime() - (options.ageMs ?? ageMsDefault);
  const decided = [];
  for (const name of await listRecords(dir, ports.store)) {
    const record = openRecord(dir, name.uuid, name.session, ports);
    const atMs = await decidedMs(record, ports.store);
    if (atMs !== null) decided.push({ record, atMs });
  }
  decided.sort((left, right) => right.atMs - left.atMs);
  const removed = [];
  for (const { record, atMs } of decided.slice(options.keepMin ?? keepMinDefault)) {
    if (atMs >= oldMs) continue;
    await removeRecord(record, ports.store);
    removed.push({ uuid: record.uuid, session: record.session });
  }
  await removeLeftovers(dir, ports);
  return removed;
}
async function decidedMs(record, store) {
  const state = await record.read().catch(() => null);
  if (state === null) return null;
  if (state.permission !== "active" && state.permission !== "promised") return null;
  let newest = 0;
  for (const part of parts) {
    const path = recordPath(record.dir, record.uuid, record.session, part);
    newest = Math.max(newest, await store.modifiedMs(path) ?? 0);
  }
  return newest;
}
async function removeRecord({ dir, uuid, session }, store) {
  for (const part of parts) {
    await store.removeFile(recordPath(dir, uuid, session, part));
    if (part === "standby") await store.syncDir(dir);
  }
}
async function removeLeftovers(dir, { store, clock }) {
  const files = await store.listDir(dir);
  const whole = new Set(files.filter((file) => file.endsWith(".standby")).map(baseOf));
  for (const file of files) {
    const orphan = namePattern.test(file) && !whole.has(baseOf(file));
    if (!orphan && !isTemporaryName(file)) continue;
    const path = join3(dir, file);
    const atMs = await store.modifiedMs(path);
    if (atMs !== null && atMs < clock.wall().getTime() - dayMs) await store.removeFile(path);
  }
}
function baseOf(file) {
  return file.slice(0, file.lastIndexOf("."));
}

// src/registry/status-writer.ts
var periodMs = 1e3;
var settleMs = 20;
var StatusWriter = class {
  #parts;
  #started;
  #cancel;
  #soon = null;
  #failing = false;
  constructor(parts2) {
    this.#parts = parts2;
    this.#started = parts2.clock.wall().toISOString();
    this.#cancel = every(parts2.timers, periodMs, () => this.write());
    this.write();
  }
  /** Something changed. */
  changed() {
    this.#soon ??= this.#parts.timers.after(settleMs, () => {
      this.#soon = null;
      this.write();
    });
  }
  /** Writes now. A full disk must not end protection: it is said once, and tried again. */
  write() {
    const { claim, log } = this.#parts;
    const error = claim.publish(this.current());
    if (error !== null && !this.#failing) log.error(`status: ${errorText(error)}`);
    this.#failing = error !== null;
  }
  current() {
    const { facts, owner, clock } = this.#parts;
    return {
      ...facts(),
      schema: 1,
      started: this.#started,
      updated: clock.wall().toISOString(),
      pid: owner.pid,
      pid_start: owner.startTicks,
      boot_id: owner.bootId
    };
  }
  /** The last write; nothing is written afterwards. */
  close() {
    this.#cancel();
    this.#soon?.();
    this.write();
  }
};

// src/registry/supersede.ts
var leavingMsMax = 1e4;
var pollMs5 = 100;
async function supersede({ uuid, role }, registry, { clock, timers }, log) {
  const endMs = clock.nowMs() + leavingMsMax;
  try {
    for (; ; ) {
      const old = registry.sessions().sessions.filter(
        ({ status }) => status.uuid === uuid && status.role !== role && isSettled(status)
      );
      for (const entry of old) {
        if (entry.liveness === "alive") continue;
        log.info(`${entry.status.state} as ${entry.status.role} is shown no longer`);
        registry.forget(entry);
      }
      if (old.every(({ liveness }) => liveness !== "alive")) return;
      if (clock.nowMs() > endMs) return;
      await sleep(timers, pollMs5);
    }
  } catch (error) {
    log.error(errorText(error));
  }
}

// src/stream/codec/codec.ts
import { availableParallelism } from "node:os";
var batchBytesMax = 1 << 20;
var batchWireBytesMax = 32 + batchBytesMax + batchBytesMax / 512 + 64;
var cacheBytesMax = 2 ** 40;
var codecNames = ["zstd", "none"];
var callsMax = Math.min(3, Math.max(2, availableParallelism()));

// src/stream/agreement.ts
function codecsOf(compression) {
  return compression ? codecNames : ["none"];
}
function known(names) {
  return codecNames.find((name) => name === names.find((one) => isCodec(one)));
}
function isCodec(name) {
  return codecNames.includes(name);
}
function chooseStream(hello, cacheBytesMax2) {
  const codec = known(hello.capabilities.codecs);
  if (codec === void 0) {
    throw new OperationError(
      "version-mismatch",
      `the primary encodes by ${hello.capabilities.codecs.join(", ")}, which is not known here`,
      { op: "choose-codec", hint: "install the same version of tsremus on both hosts" }
    );
  }
  return { codec, cacheBytes: codec === "none" ? 0 : Math.min(hello.cacheBytes, cacheBytesMax2) };
}
function agreedStream(choice, offered2) {
  const codec = offered2.codecs.find((name) => name === choice?.codec);
  if (choice === null || codec === void 0 || choice.cacheBytes > offered2.cacheBytes) {
    const said = choice === null ? "none" : `${choice.codec} with ${choice.cacheBytes} bytes`;
    throw new OperationError(
      "protocol",
      `protocol error in HELLO: field stream is ${said}, offered were ${offered2.codecs.join(", ")} with ${offered2.cacheBytes} bytes of cache`,
      { op: "choose-codec", subject: "stream" }
    );
  }
  return { codec, cacheBytes: choice.cacheBytes };
}

// src/stream/assembler.ts
var mib = 1024 * 1024;
function epochLimits(memoryBytes) {
  const epochBytesMax = memoryBytes + Math.ceil(memoryBytes / 32) + 16 * mib;
  return { epochBytesMax, seedBytesMax: 12 * epochBytesMax };
}
function wireLimits({ seedBytesMax, epochBytesMax }) {
  const grown = (bytes) => bytes + Math.ceil(bytes / 256) + mib;
  return { seedBytesMax: grown(seedBytesMax), epochBytesMax: grown(epochBytesMax) };
}
var EpochAssembler = class {
  #options;
  #epoch = 0;
  #bytes = 0;
  constructor(options) {
    this.#options = options;
  }
  /** The epoch whose pieces are awaited. */
  get epoch() {
    return this.#epoch;
  }
  /** Bytes of that epoch that are here. */
  get bytes() {
    return this.#bytes;
  }
  /** Takes a piece; throws an OperationError `protocol` (A1) or `limit` (A3). */
  onData({ epoch, chunk }) {
    this.#checkEpoch("data", epoch);
    const bytes = this.#bytes + chunk.length;
    const max = epoch === 0 ? this.#options.seedBytesMax : this.#options.epochBytesMax;
    if (bytes > max) {
      const message = `epoch ${epoch} is larger than ${max} bytes, the limit for this guest`;
      throw new OperationError("limit", message, { op: "assemble-epoch", subject: `${epoch}` });
    }
    this.#bytes = bytes;
    this.#options.onChunk(epoch, chunk);
  }
  /** Checks the epoch and hands it over; throws an OperationError `protocol` (A1, A2). */
  onEpochEnd(end) {
    const { epoch, bytes } = end;
    this.#checkEpoch("epoch-end", epoch);
    if (bytes === 0) throw wrong2("epoch-end", "bytes", bytes, "an epoch is never empty");
    if (bytes !== this.#bytes) throw wrong2("epoch-end", "bytes", bytes, `${this.#bytes} came`);
    this.#epoch += 1;
    this.#bytes = 0;
    this.#options.onEpoch(end);
  }
  #checkEpoch(kind, epoch) {
    if (epoch !== this.#epoch) throw wrong2(kind, "epoch", epoch, `must be ${this.#epoch}`);
  }
};
function wrong2(kind, field, value, rule) {
  return new OperationError(
    "protocol",
    `protocol error in ${kind}: field ${field} is ${value}, ${rule}`,
    { op: "assemble-epoch", subject: field }
  );
}

// src/config/settings.ts
var maxMemoryBytesMin = 64 * 1024 ** 2;
var maxMemoryBytesMax = 16 * 1024 ** 4;

// src/stream/budget.ts
var mib2 = 1024 * 1024;
var pipelineBytes = 16 * mib2;
var defaultShare = 0.25;
function defaultMaxMemory(hostBytes) {
  return Math.max(maxMemoryBytesMin, Math.floor(hostBytes * defaultShare));
}
function cacheBytesWithin(maxBytes, guestBytes) {
  const wanted = guestBytes + Math.ceil(guestBytes / 64) + mib2;
  return Math.min(wanted, Math.floor((maxBytes - pipelineBytes) / 2));
}
function memoryBudget(maxBytes, cacheBytes) {
  return { maxBytes, cacheBytes, queueBytes: maxBytes - pipelineBytes - cacheBytes };
}

// src/stream/intake.ts
var wireBytesMax = 4 * 1024 * 1024;
var piecesMax = 8;
var RawBuffers = class {
  #free = [];
  allocate = (bytes) => {
    return (this.#free.pop() ?? Buffer.allocUnsafeSlow(batchBytesMax)).subarray(0, bytes);
  };
  release(raw) {
    this.#free.push(Buffer.from(raw.buffer));
  }
};
var StreamIntake = class {
  #options;
  #buffers;
  #items = [];
  #decoding = /* @__PURE__ */ new Set();
  /** All that was taken up to now. */
  #stored = Promise.resolve();
  #cameBytes = 0;
  #storedBytes = 0;
  #creditedBytes = 0;
  #ends = 0;
  #busy = false;
  #stopped = false;
  #epochBytes = 0;
  #rawBytes = 0;
  /** `buffers` are those that the decoder was opened with. */
  constructor(options, buffers) {
    this.#options = options;
    this.#buffers = buffers;
  }
  /** Decoded bytes since the session began. */
  get rawBytes() {
    return this.#rawBytes;
  }
  /** A piece of the epoch, as it came. */
  piece(epoch, wire) {
    if (this.#stopped) return;
    this.#cameBytes += wire.length;
    this.#push({ kind: "piece", epoch, wire });
    this.#giveCredit();
  }
  #giveCredit() {
    const due = Math.min(this.#cameBytes, this.#storedBytes + wireBytesMax) - this.#creditedBytes;
    if (due <= 0) return;
    this.#creditedBytes += due;
    this.#options.onConsumed(due);
  }
  /** All pieces of the epoch are here. Throws OperationError('protocol') for more than can be. */
  end(end) {
    this.#ends += 1;
    if (this.#ends > pendingMaxMax) {
      const message = `protocol error in epoch-end: more than ${pendingMaxMax} epochs in flight`;
      throw new OperationError("protocol", message, { op: "read-stream", subject: "epoch" });
    }
    this.#push({ kind: "end", end });
  }
  /** Nothing more is taken. */
  stop() {
    this.#stopped = true;
    this.#items.length = 0;
  }
  #push(item) {
    if (this.#stopped) return;
    this.#items.push(item);
    if (!this.#busy) void this.#run();
  }
  async #run() {
    this.#busy = true;
    for (let item = this.#items.shift(); item !== void 0; item = this.#items.shift()) {
      if (item.kind === "piece") {
        if (this.#decoding.size >= piecesMax) await Promise.race(this.#decoding);
        if (!this.#stopped) this.#decode(item.epoch, item.wire);
      } else {
        await Promise.all(this.#decoding);
        await this.#guarded(this.#close(item.end));
      }
    }
    this.#busy = false;
  }
  #decode(epoch, wire) {
    const decoded = this.#options.decoder.decode(wire, (raw) => this.#take(epoch, raw));
    const stored = Promise.all([this.#stored, decoded]).then(() => {
      this.#storedBytes += wire.length;
      this.#giveCredit();
    });
    const done = this.#guarded(stored);
    this.#stored = done;
    this.#decoding.add(done);
    void done.then(() => this.#decoding.delete(done));
  }
  async #take(epoch, raw) {
    if (this.#stopped) return;
    const { sink, timers } = this.#options;
    this.#count(epoch, raw.length);
    sink.feed(raw);
    this.#buffers.release(raw);
    await sink.room();
    await nextTurn(timers);
  }
  #count(epoch, bytes) {
    const { seedBytesMax, epochBytesMax } = this.#options.limits;
    const max = epoch === 0 ? seedBytesMax : epochBytesMax;
    this.#rawBytes += bytes;
    this.#epochBytes += bytes;
    if (this.#epochBytes <= max) return;
    const message = `epoch ${epoch} decodes to more than ${max} bytes, the limit for this guest`;
    throw new OperationError("limit", message, { op: "read-stream", subject: `${epoch}` });
  }
  async #close({ epoch, digest }) {
    const { decoder, sink, onWhole } = this.#options;
    if (this.#stopped) return;
    await decoder.endEpoch(digest);
    const counts = sink.whole(epoch);
    this.#ends -= 1;
    this.#epochBytes = 0;
    if (counts) onWhole(epoch);
  }
  /** Settles when the work has; a failure of the stream goes to `onError`, others pass through. */
  async #guarded(work2) {
    try {
      await work2;
    } catch (error) {
      if (this.#stopped) return;
      this.stop();
      if (!(error instanceof OperationError)) throw error;
      this.#options.onError(error);
    }
  }
};

// src/session/backup/copy.ts
var pieceBytesMax = 1024 * 1024;
var behindEveryMs = 1e4;
var Copy = class {
  #options;
  #restore;
  /** Where whole epochs end that were not applied yet. */
  #ends = /* @__PURE__ */ new Map();
  #position = { bytes: 0, epochs: 0, epochEnd: 0, atBoundary: false };
  #appliedBytes = 0;
  #fedBytes = 0;
  #waiting = [];
  #ended = null;
  /** The hypervisor takes nothing more, and has not said yet how it ended. */
  #isEnding = false;
  #onEnded = [];
  #expected = false;
  #failure = null;
  #copy = null;
  #lastEpoch = -1;
  #behindSaidAtMs = Number.NEGATIVE_INFINITY;
  constructor(options) {
    this.#options = options;
    const limitBytes = options.queueBytesMax + options.epochBytesMax + pieceBytesMax;
    const onEvent3 = (event) => this.#onEvent(event);
    this.#restore = options.hypervisor.startRestore(options.spec, { limitBytes, onEvent: onEvent3 });
  }
  /** The newest epoch that was committed. */
  get lastEpoch() {
    return this.#lastEpoch;
  }
  /** The domain that was built; null before. */
  get guest() {
    return this.#copy;
  }
  /** Bytes of the stream that are here and not with the hypervisor. */
  get queuedBytes() {
    return this.#position.bytes - this.#fedBytes;
  }
  /**
   * The next bytes of the stream, at most a megabyte. Throws OperationError('protocol') when they
   * do not continue it. A copy that has failed or ended takes them and forgets them: why it failed
   * is told by `onFailed`.
   */
  feed(raw) {
    if (this.#ended !== null || this.#isEnding) return;
    let position;
    try {
      position = this.#restore.feed(raw);
    } catch (error) {
      if (error instanceof OperationError && error.code === "protocol") throw error;
      this.#isEnding = true;
      this.#options.log.info(`the copy takes nothing more: ${errorText(error)}`);
      return;
    }
    if (position === null) {
      throw new OperationError("limit", `${this.queuedBytes} bytes wait to be applied`, {
        op: "feed"
      });
    }
    if (position.epochs === 0) this.#appliedBytes = position.bytes;
    else if (this.#position.epochs === 0) this.#appliedBytes = position.epochEnd;
    this.#position = position;
  }
  /** More than may wait, waits for the hypervisor alone, which will take some of it by itself. */
  #isFull() {
    if (this.#ended !== null || this.#fedBytes >= this.#appliedBytes) return false;
    return this.queuedBytes > this.#options.queueBytesMax;
  }
  /** Resolves when there is room for more. */
  async room() {
    const nowMs = this.#options.clock.nowMs();
    if (this.#isFull() && nowMs - this.#behindSaidAtMs > behindEveryMs) {
      this.#behindSaidAtMs = nowMs;
      const waiting = formatBytes(this.queuedBytes);
      this.#options.log.warning(`behind: ${waiting} wait to be applied, and the primary waits`);
    }
    while (this.#isFull()) {
      await new Promise((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }
  /** True while the primary has to wait for the hypervisor here. */
  get isFull() {
    return this.#waiting.length > 0;
  }
  /**
   * All of the epoch was taken; false: by a copy that forgets it, so it does not count. Throws
   * OperationError('protocol') when it is torn.
   */
  whole(epoch) {
    if (this.#ended !== null || this.#isEnding) return false;
    const { atBoundary, epochs, epochEnd } = this.#position;
    if (!atBoundary || epochs !== epoch + 1) {
      throw new OperationError(
        "protocol",
        `epoch ${epoch} does not end with CHECKPOINT_END (the stream is in epoch ${epochs})`,
        { op: "check-stream" }
      );
    }
    this.#ends.set(epoch, epochEnd);
    return true;
  }
  /** Hands a whole epoch to the hypervisor; the seed has gone already. */
  commit(epoch) {
    this.#lastEpoch = epoch;
    const end = this.#ends.get(epoch);
    if (end === void 0 || this.#ended !== null) return;
    this.#ends.delete(epoch);
    this.#appliedBytes = end;
    this.#restore.apply(end);
  }
  #onEvent(event) {
    switch (event.kind) {
      case "fed":
        this.#fedBytes = event.bytes;
        return this.#wake();
      case "log":
        return this.#options.log.debug(`hypervisor: ${event.text}`);
      case "built":
        this.#ended = event;
        break;
      case "discarded":
        this.#ended = { kind: "gone" };
        break;
      case "failed":
        this.#failure = event.reason;
        this.#ended = { kind: "gone" };
        if (!this.#expected) this.#options.onFailed(event.reason);
    }
    this.#wake();
    for (const resolve of this.#onEnded.splice(0)) resolve();
  }
  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
  async #waitEnded() {
    if (this.#ended === null) {
      await new Promise((resolve) => {
        this.#onEnded.push(resolve);
      });
    }
    return this.#ended;
  }
  /** Activation: end-of-file after all that was applied; the copy stands paused, renamed. */
  async build() {
    const { hypervisor, spec } = this.#options;
    this.#expected = true;
    if (this.#ended === null) this.#restore.finish();
    const ended = await this.#waitEnded();
    if (ended.kind !== "built") {
      throw new OperationError("hypervisor", `the copy cannot be built: ${this.#failure}`, {
        op: "build-copy",
        subject: spec.name
      });
    }
    this.#copy = ended.copy;
    await hypervisor.rename(ended.copy, waitingName(spec.name), spec.name);
  }
  /** Lets the built copy run, and looks whether it does. */
  async unpause() {
    const { hypervisor, spec, onRunning } = this.#options;
    const copy = this.#copy;
    if (copy === null)
      throw new OperationError("hypervisor", "nothing is built", { op: "unpause" });
    const before = await hypervisor.info(copy);
    if (before?.paused) await hypervisor.unpause(copy);
    const info = await hypervisor.info(copy);
    if (info === null || info.paused) {
      throw new OperationError("hypervisor", `the copy of ${spec.name} does not run`, {
        op: "unpause",
        subject: spec.name
      });
    }
    onRunning(copy);
  }
  /** No trace is left: the operation aborted, the domain destroyed. */
  async discard() {
    this.#expected = true;
    if (this.#ended === null) this.#restore.discard();
    await this.#waitEnded();
    const { hypervisor, spec } = this.#options;
    await destroyCopy(hypervisor, spec, "waiting-or-built");
  }
};

// src/core/health/facts.ts
function ackLateMs({ schedule, pace, config }) {
  return lateAfterMs(schedule, pace, config.heartbeatTimeoutMs);
}
function joined(parts2) {
  const said = parts2.filter((part) => part !== null);
  return said.length === 0 ? null : said.join("; ");
}
function primaryMachineFacts(state, nowMs, guestPaused) {
  const at = { ...state, nowMs: Math.max(nowMs, state.nowMs) };
  return {
    role: "primary",
    state: primaryWord(at, guestPaused),
    epoch: at.acked < 0 ? null : at.acked,
    ack_age_ms: at.acked < 0 ? null : Math.round(at.nowMs - at.committedAtMs),
    late_after_ms: ackLateMs(at),
    buffered: at.config.buffered,
    reason: primaryReason(at, guestPaused)
  };
}
var wordOfPrimary = {
  connecting: "connecting",
  seeding: "seeding",
  protected: "protected",
  ending: "ending",
  held: "held",
  leaving: "ending",
  ended: "ended"
};
function primaryWord(at, guestPaused) {
  if (at.outcome?.kind === "unprotected") return "unprotected";
  if (isHeld(at)) return "held";
  if (at.phase !== "protected") return wordOfPrimary[at.phase];
  if (guestPaused || !isLeaseFresh(at)) return "late";
  return at.nowMs - at.committedAtMs > ackLateMs(at) ? "late" : "protected";
}
function isHeld(at) {
  if (at.outcome !== null) return false;
  if (isSilent(at) && backupMayActivate(at)) return true;
  return at.phase === "ending" && wantsPromise(at) && at.askNews !== null;
}
function primaryReason(at, guestPaused) {
  const { outcome } = at;
  if (outcome !== null) return "reason" in outcome ? outcome.reason : null;
  const isMissed = at.link === "open" && !isLeaseFresh(at);
  return joined([
    at.lost,
    wantsPromise(at) ? at.askNews : null,
    isMissed ? `the other host was not heard for ${formatMs(at.nowMs - at.heardAtMs)}` : null,
    guestPaused ? "the guest is paused until the backup is heard" : null
  ]);
}
var wordOfBackup = {
  connecting: "connecting",
  seeding: "seeding",
  standby: "standby",
  activating: "activating",
  active: "activating",
  leaving: "ending",
  ended: "ended"
};
function backupMachineFacts(state, nowMs) {
  const at = { ...state, nowMs: Math.max(nowMs, state.nowMs) };
  return {
    role: "backup",
    state: backupWord(at),
    epoch: at.acked < 0 ? null : at.acked,
    ack_age_ms: null,
    late_after_ms: 10 * at.config.heartbeatTimeoutMs,
    buffered: at.config.buffered,
    reason: backupReason(at)
  };
}
function isPeerSilent(at) {
  return at.phase === "standby" && at.link === "open" && silenceMs(at) > leaseMs(at.config);
}
function backupWord(at) {
  const isUndecided = at.record !== "active" && at.outcome === null && at.acked >= 0;
  const isCalm = at.phase === "standby" && at.link === "open" && !isPeerSilent(at);
  if (isUndecided && at.recordProblem !== null) return isCalm ? "late" : "held";
  if (at.phase === "standby" && at.link === "closed") return "held";
  return isPeerSilent(at) ? "late" : wordOfBackup[at.phase];
}
function backupReason(at) {
  const record = at.recordProblem;
  return joined([
    at.linkReason,
    isPeerSilent(at) ? `the other host was not heard for ${formatMs(silenceMs(at))}` : null,
    at.copyProblem,
    record === null ? null : `the decision cannot be recorded: ${record}`
  ]);
}

// src/session/backup/facts.ts
function machineFacts(view) {
  const { hello, running, outcome, guestEnd } = view;
  const facts = running === null ? {
    role: "backup",
    state: "connecting",
    epoch: null,
    ack_age_ms: null,
    late_after_ms: 10 * hello.timing.heartbeatTimeoutMs,
    buffered: hello.timing.buffered,
    reason: null
  } : backupMachineFacts(running.state, view.nowMs);
  if (outcome === null) return facts;
  if (outcome.kind === "activated") {
    const took = `took over from epoch ${outcome.epoch}: ${outcome.why}`;
    if (guestEnd === null) return { ...facts, state: "active", reason: took };
    return { ...facts, state: "ended", reason: `${took}; since then ${guestEnd}` };
  }
  return { ...facts, state: "ended", reason: "reason" in outcome ? outcome.reason : null };
}
function nextOf({ hello, running, stateDirectory: stateDirectory2 }, state) {
  const { domain, host } = hello;
  if (state !== "held") return [];
  const full = (running?.state.recordProblem ?? null) !== null;
  return [
    ...full ? adviceLines([{ kind: "free-record", dir: stateDirectory2 }]) : [],
    ...adviceLines(adviceOnHeldCopy(domain, host))
  ];
}
function streamFacts({ bytes, rawBytes, copy, stream, budget, outcome }) {
  const waiting = copy?.queuedBytes ?? 0;
  const isBehind = outcome === null && copy?.isFull === true;
  return {
    epochs: [],
    bytes_sent: bytes,
    bytes_raw: rawBytes,
    codec: stream.codec,
    pages: null,
    histograms: null,
    schedule: null,
    pending_max: null,
    in_flight: null,
    memory: {
      max_bytes: budget.maxBytes,
      queue_bytes: budget.queueBytes,
      cache_bytes: budget.cacheBytes,
      waiting_bytes: waiting
    },
    stalls: 0,
    stalled_ms: 0,
    degraded: isBehind ? `behind: ${formatBytes(waiting)} wait to be applied, and the primary waits` : null
  };
}
function backupFacts(view) {
  const { hello, ackWall, wall } = view;
  const facts = machineFacts(view);
  return {
    ...facts,
    domain: hello.domain,
    domid: view.guest?.id ?? null,
    uuid: hello.uuid,
    session: hello.session,
    peer: hello.host,
    ack_time: ackWall?.toISOString() ?? null,
    ack_age_ms: ackWall === null ? null : Math.max(0, wall.getTime() - ackWall.getTime()),
    heartbeat_timeout_ms: hello.timing.heartbeatTimeoutMs,
    seed_percent: null,
    ...streamFacts(view),
    next: nextOf(view, facts.state),
    outcome: view.outcome?.kind ?? null,
    output: null,
    transport: null,
    guest_paused: false
  };
}

// src/session/backup/preflight.ts
var memoryReserveBytes = 32 * 1024 * 1024;
async function checkRoom(hypervisor, hello) {
  const { freeMemoryBytes } = await hypervisor.host();
  const need = hello.memoryBytes + memoryReserveBytes;
  if (freeMemoryBytes === null || freeMemoryBytes >= need) return;
  const mib3 = (bytes) => Math.ceil(bytes / 1024 ** 2);
  throw new OperationError(
    "limit",
    `not enough free memory for a copy of ${hello.domain}: ${mib3(need)} MiB are needed, ${mib3(freeMemoryBytes)} MiB are free`,
    {
      op: "check-memory",
      subject: hello.domain,
      hint: "free some: xl list; xl mem-set Domain-0 ..."
    }
  );
}
async function checkNames(hypervisor, hello) {
  const see = (domain) => `see it: ${adviceCommand({ kind: "list-guest", domain })}`;
  if (await hypervisor.find(hello.domain) !== null) {
    throw new OperationError("locked", `a domain called ${hello.domain} is on this host already`, {
      op: "check-name",
      subject: hello.domain,
      hint: `${see(hello.domain)}; rename or destroy it if it is not needed`
    });
  }
  const waiting = waitingName(hello.domain);
  const found = await hypervisor.find(waiting);
  if (found === null) return;
  if (found.uuid === hello.uuid) return hypervisor.destroy(found);
  throw new OperationError("locked", `a domain called ${waiting} is on this host already`, {
    op: "check-name",
    subject: waiting,
    hint: `${see(waiting)}; destroy it if it is not needed`
  });
}

// src/core/describe.ts
function describeAnswer(answer) {
  if (answer.kind !== "active") return answer.kind;
  return answer.running ? "active, running" : "active, not running";
}
function describePrimaryEvent(event) {
  switch (event.kind) {
    case "tick":
    case "link-open":
    case "progress":
    case "save-ended":
      return event.kind;
    case "echo":
      return `echo ${event.seq}`;
    case "checkpoint":
    case "drained":
    case "sent":
    case "ack":
      return `${event.kind} ${event.epoch}`;
    case "output":
      return describeOutput(event);
    case "set-schedule":
      return `set-schedule ${describeSchedule(event.schedule)}`;
    case "link-closed":
    case "copy-lost":
    case "save-failed":
    case "guest-ended":
      return `${event.kind} (${event.reason})`;
    case "answer":
      return `answer ${event.id}: ${describeAnswer(event.answer)}`;
    case "ask-failed":
      return `ask-failed ${event.id} (${event.reason})`;
    case "stop":
      return `stop by ${event.by}${event.force ? ", forced" : ""}`;
    default:
      return unreachable(event);
  }
}
function describeSchedule(schedule) {
  if (schedule.kind === "fixed") return `every ${schedule.intervalMs} ms`;
  const { minMs, maxMs, maxOverhead } = schedule;
  return `auto, ${minMs} to ${maxMs} ms, overhead at most ${Math.round(100 * maxOverhead)} %`;
}
function describeOutput({ packets, bytes, nearLimit }) {
  return `output ${packets} packets, ${bytes} bytes${nearLimit ? ", near the limit" : ""}`;
}
function describePrimaryEffect(effect) {
  switch (effect.kind) {
    case "send-heartbeat":
      return `heartbeat ${effect.seq}`;
    case "take-checkpoint":
      return `take-checkpoint ${effect.epoch}`;
    case "release":
      return `release ..${effect.epoch}`;
    case "ask-promise":
      return `ask ${effect.id} (${effect.way})`;
    case "pause-guest":
      return `pause-guest (${effect.reason})`;
    case "unpause-guest":
    case "open-buffer":
    case "abort-save":
    case "destroy-guest":
    case "close-link":
      return effect.kind;
    case "end":
      return `end: ${loggedOutcome(effect.outcome)}`;
    default:
      return unreachable(effect);
  }
}
function describeBackupEvent(event) {
  switch (event.kind) {
    case "tick":
      return event.stalledMs > 0 ? `tick (stalled ${Math.round(event.stalledMs)} ms)` : "tick";
    case "link-open":
    case "bytes":
    case "built":
    case "running":
    case "discarded":
      return event.kind;
    case "heartbeat":
      return `heartbeat ${event.seq}`;
    case "epoch-whole":
      return `epoch-whole ${event.epoch}${event.part === "memory" ? "" : ` (${event.part})`}`;
    case "corrupt":
    case "link-closed":
    case "copy-failed":
    case "record-failed":
    case "build-failed":
    case "unpause-failed":
    case "discard-failed":
      return `${event.kind} (${event.reason})`;
    case "ask":
      return `ask #${event.token} (${event.way})`;
    case "record":
      return `record says ${event.permission}`;
    case "failover":
      return `failover #${event.token}`;
    default:
      return unreachable(event);
  }
}
function describeBackupEffect(effect) {
  switch (effect.kind) {
    case "send-echo":
      return `echo ${effect.seq}`;
    case "send-ack":
      return `ack ${effect.epoch}`;
    case "commit":
      return `commit ${effect.epoch}`;
    case "write-record":
      return `record ${effect.from} -> ${effect.to}, epoch ${effect.epoch} (${effect.why})`;
    case "build-copy":
      return `build-copy ${effect.epoch}`;
    case "unpause-copy":
    case "note-running":
    case "discard-copy":
    case "send-activated":
    case "close-link":
      return effect.kind;
    case "answer":
      return `answer #${effect.token} (${effect.way}): ${describeAnswer(effect.answer)}`;
    case "send-copy-lost":
      return `send-copy-lost (${effect.reason})`;
    case "failover-answer":
      return `failover #${effect.token}: ${effect.refused ?? "started"}`;
    case "end":
      return `end: ${loggedOutcome(effect.outcome)}`;
    default:
      return unreachable(effect);
  }
}

// src/session/machine.ts
var Machine = class {
  #state;
  #step;
  #perform;
  #queue = [];
  #stepping = false;
  constructor(initial, step, perform) {
    this.#state = initial;
    this.#step = step;
    this.#perform = perform;
  }
  get state() {
    return this.#state;
  }
  /** Takes an event; it is stepped at once, or after the one being stepped. */
  dispatch(event) {
    this.#queue.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#queue.shift(); next !== void 0; next = this.#queue.shift()) {
        const { state, effects } = this.#step(this.#state, next);
        this.#state = state;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#stepping = false;
    }
  }
};
var Row = class {
  #tail = Promise.resolve();
  #onError;
  constructor(onError) {
    this.#onError = onError;
  }
  run(work2) {
    this.#tail = this.#tail.then(work2).catch((error) => this.#onError(error));
  }
  /** Resolves when all work queued so far is done. */
  idle() {
    return this.#tail;
  }
};

// src/session/wake-timer.ts
var WakeTimer = class {
  #parts;
  #cancel = null;
  #dueMs = 0;
  constructor(parts2) {
    this.#parts = parts2;
  }
  /** To be called after everything that may have changed the time; null: as late as may be. */
  wakeAt(atMs) {
    const { clock, timers, minMs, maxMs, onWake } = this.#parts;
    const nowMs = clock.nowMs();
    const dueMs = nowMs + Math.min(maxMs, Math.max(minMs, (atMs ?? Infinity) - nowMs));
    if (this.#cancel !== null && this.#dueMs <= dueMs) return;
    this.stop();
    this.#dueMs = dueMs;
    this.#cancel = timers.after(dueMs - nowMs, () => {
      this.#cancel = null;
      onWake(dueMs);
    });
  }
  stop() {
    this.#cancel?.();
    this.#cancel = null;
  }
};

// src/session/backup/session.ts
var tickMsMin = 5;
var tickMsMax = 1e3;
var tickLateMs = 50;
var BackupSession = class {
  #parts;
  #machine;
  #row;
  #asked = /* @__PURE__ */ new Map();
  #failovers = /* @__PURE__ */ new Map();
  #nextToken = 1e9;
  #timer;
  #over = false;
  #linkOpen = true;
  #phase = "connecting";
  #permission = "standby";
  #finish = () => {
  };
  #fail = () => {
  };
  #done;
  constructor(parts2) {
    this.#parts = parts2;
    const { step = stepBackup } = parts2;
    const initial = initialBackup(parts2.config, this.#now());
    this.#machine = new Machine(initial, step, (effect) => this.#perform(effect));
    this.#timer = new WakeTimer({
      clock: parts2.clock,
      timers: parts2.timers,
      minMs: tickMsMin,
      maxMs: tickMsMax,
      onWake: (plannedMs) => this.#tick(plannedMs)
    });
    this.#row = new Row((error) => parts2.log.error(errorText(error)));
    this.#done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
  }
  #now() {
    return this.#parts.clock.nowMs();
  }
  get state() {
    return this.#machine.state;
  }
  /** Starts the clocks; resolves with the outcome. Rejects only on a violated invariant. */
  run() {
    for (const disk of this.#parts.disks) {
      disk.listen({
        whole: (epoch) => this.onEpochWhole(disk.name, epoch),
        lost: (reason) => this.onCopyFailed(`disk ${disk.name}: ${reason}`)
      });
    }
    this.#dispatch({ kind: "link-open", nowMs: this.#now() });
    return this.#done;
  }
  /**
   * Input is drained first: whatever the kernel holds for us was read by then, so silence is
   * counted on what truly did not arrive.
   */
  #tick(plannedMs) {
    this.#parts.timers.soon(() => {
      const nowMs = this.#now();
      const late = nowMs - plannedMs;
      this.#dispatch({ kind: "tick", nowMs, stalledMs: late > tickLateMs ? late : 0 });
    });
  }
  onBytes() {
    this.#dispatch({ kind: "bytes", nowMs: this.#now() });
  }
  onHeartbeat(seq) {
    this.#dispatch({ kind: "heartbeat", seq, nowMs: this.#now() });
  }
  onEpochWhole(part, epoch) {
    this.#dispatch({ kind: "epoch-whole", part, epoch, nowMs: this.#now() });
  }
  onCorrupt(reason) {
    this.#dispatch({ kind: "corrupt", reason, nowMs: this.#now() });
  }
  onCopyFailed(reason) {
    this.#dispatch({ kind: "copy-failed", reason, nowMs: this.#now() });
  }
  onLinkClosed(reason) {
    if (!this.#linkOpen) return;
    this.#linkOpen = false;
    this.#dispatch({ kind: "link-closed", reason, nowMs: this.#now() });
  }
  /** The primary asks on the link. */
  onAsk(id) {
    this.#dispatch({ kind: "ask", way: "link", token: id, nowMs: this.#now() });
  }
  /** A fresh run of the transport asks, through the control socket. */
  askFresh() {
    const token = this.#nextToken++;
    return new Promise((resolve) => {
      this.#asked.set(token, resolve);
      this.#dispatch({ kind: "ask", way: "fresh", token, nowMs: this.#now() });
      if (this.#over) this.#answer(token, this.#finalAnswer());
    });
  }
  /** What `failover` would do now. */
  failoverPlan() {
    const { state } = this;
    const heard2 = `the primary was heard ${Math.round(this.#now() - state.heardAtMs)} ms ago`;
    const ended = state.linkReason === null ? [] : [state.linkReason];
    return { refused: failoverRefusal(state), primary: [heard2, ...ended] };
  }
  /** Resolves when the session is over. */
  outcome() {
    return this.#done;
  }
  /** The administrator's failover; null when it begins, else why it is refused. */
  failover() {
    const token = this.#nextToken++;
    return new Promise((resolve) => {
      this.#failovers.set(token, resolve);
      this.#dispatch({ kind: "failover", token, nowMs: this.#now() });
    });
  }
  /** What the record answers once the machine has ended. */
  #finalAnswer() {
    return answerOf({ permission: this.#permission, running: true });
  }
  #answer(token, answer) {
    this.#asked.get(token)?.(answer);
    this.#asked.delete(token);
  }
  #dispatch(event) {
    if (this.#over) return;
    const routine2 = ["tick", "bytes", "heartbeat"].includes(event.kind);
    if (event.kind === "epoch-whole") this.#parts.log.debug(describeBackupEvent(event));
    else if (!routine2) this.#parts.log.info(describeBackupEvent(event));
    try {
      this.#machine.dispatch(event);
    } catch (error) {
      this.#stopTimers();
      this.#fail(error);
      return;
    }
    if (!this.#over) this.#timer.wakeAt(backupWakeAtMs(this.state));
    const { phase } = this.#machine.state;
    if (phase === this.#phase && (routine2 || event.kind === "epoch-whole")) return;
    this.#phase = phase;
    this.#parts.onChange();
  }
  #perform(effect) {
    const { copy, disks, record, send, closeLink, log } = this.#parts;
    if (effect.kind === "send-ack" || effect.kind === "commit") {
      log.debug(`  -> ${describeBackupEffect(effect)}`);
    } else if (effect.kind !== "send-echo") log.info(`  -> ${describeBackupEffect(effect)}`);
    switch (effect.kind) {
      case "send-echo":
        return send({ kind: "echo", seq: effect.seq });
      case "send-ack":
        return send({ kind: "ack", epoch: effect.epoch });
      case "commit":
        copy.commit(effect.epoch);
        for (const disk of disks) disk.commit(effect.epoch);
        return;
      case "write-record":
        return this.#writeRecord(effect);
      case "build-copy":
        return this.#slow(
          () => this.#build(),
          () => ({ kind: "built", nowMs: this.#now() }),
          (reason) => ({ kind: "build-failed", reason, nowMs: this.#now() })
        );
      case "unpause-copy":
        return this.#slow(
          () => copy.unpause(),
          () => ({ kind: "running", nowMs: this.#now() }),
          (reason) => ({ kind: "unpause-failed", reason, nowMs: this.#now() })
        );
      case "discard-copy":
        return this.#slow(
          () => this.#discard(),
          () => ({ kind: "discarded", nowMs: this.#now() }),
          (reason) => ({ kind: "discard-failed", reason, nowMs: this.#now() })
        );
      case "note-running":
        return this.#row.run(() => record.noteRunning());
      case "answer":
        if (effect.way === "fresh") return this.#answer(effect.token, effect.answer);
        return send({ kind: "answer", id: effect.token, answer: effect.answer });
      case "send-copy-lost":
        return send({ kind: "copy-lost", reason: effect.reason });
      case "send-activated":
        return send({ kind: "activated", epoch: copy.lastEpoch });
      case "failover-answer":
        this.#failovers.get(effect.token)?.(effect.refused);
        this.#failovers.delete(effect.token);
        return;
      case "close-link":
        return closeLink("the session is over");
      case "end":
        return this.#end(effect.outcome);
    }
  }
  /** From the last committed epoch, in every part. */
  async #build() {
    const { copy, disks } = this.#parts;
    for (const disk of disks) await disk.rollBack();
    for (const disk of disks) await disk.settle();
    await copy.build();
  }
  async #discard() {
    const { copy, disks } = this.#parts;
    await copy.discard();
    for (const disk of disks) await disk.rollBack();
  }
  #writeRecord(effect) {
    this.#row.run(async () => {
      const { record, log } = this.#parts;
      const { from, to, epoch, why } = effect;
      try {
        this.#permission = await record.move(from, to, epoch, why);
        this.#dispatch({ kind: "record", permission: this.#permission, nowMs: this.#now() });
      } catch (error) {
        const reason = errorText(error);
        log.error(`the record could not be written: ${reason}`);
        const holds = await this.#readBack();
        if (holds === null) return;
        if (holds === from) this.#dispatch({ kind: "record-failed", reason, nowMs: this.#now() });
        else {
          this.#permission = holds;
          this.#dispatch({ kind: "record", permission: holds, nowMs: this.#now() });
        }
      }
    });
  }
  /**
   * What the record says, as soon as it can be read. Until then the machine waits mute: it must not
   * go on as if nothing were decided. Null when the session is over before.
   */
  async #readBack() {
    while (!this.#over) {
      try {
        return await this.#parts.record.read();
      } catch (error) {
        this.#parts.log.error(`the record cannot be read either: ${errorText(error)}`);
        await sleep(this.#parts.timers, recordRetryMs);
      }
    }
    return null;
  }
  #slow(work2, done, failed) {
    this.#row.run(async () => {
      let event;
      try {
        await work2();
        event = done();
      } catch (error) {
        this.#parts.log.error(errorText(error));
        event = failed(errorText(error));
      }
      this.#dispatch(event);
    });
  }
  #stopTimers() {
    this.#over = true;
    this.#timer.stop();
  }
  #end(outcome) {
    this.#stopTimers();
    void this.#row.idle().then(() => {
      for (const token of [...this.#asked.keys()]) this.#answer(token, this.#finalAnswer());
      this.#finish(outcome);
    });
  }
};

// src/session/backup/reception.ts
var configMsMax = 12e4;
async function prepareStream(ports, hello, options) {
  const maxBytes = options.maxMemoryBytes ?? defaultMaxMemory(ports.settings.memoryBytes);
  const stream = chooseStream(hello, cacheBytesWithin(maxBytes, hello.memoryBytes));
  const buffers = new RawBuffers();
  const decoder = await ports.openDecoder(stream, buffers.allocate);
  return { stream, budget: memoryBudget(maxBytes, stream.cacheBytes), decoder, buffers };
}
async function prepareReception(ports, hello, options) {
  const { hypervisor, settings, registry } = ports;
  const log = ports.openLog(`${hello.domain}.backup`);
  const subject = { uuid: hello.uuid, domain: hello.domain, role: "backup" };
  const claim = await registry.claimSession(subject);
  try {
    await checkNames(hypervisor, hello);
    await checkRoom(hypervisor, hello);
    const dir = settings.stateDirectory;
    const record = openRecord(dir, hello.uuid, hello.session, ports);
    await record.create({ domain: hello.domain, peer: hello.host });
    pruneRecords(dir, ports).catch((error) => log.info(errorText(error)));
    const heartbeats = { take: (_seq) => {
    } };
    const pulse = await ports.offerPulse(hello.session, log, (seq) => heartbeats.take(seq));
    const watch = options.wait && !hello.noWait;
    const pulseOffer = pulse?.offer ?? null;
    const session = { hello, claim, log, record, pulse, pulseOffer, heartbeats, watch };
    return { ...session, ...await prepareStream(ports, hello, options) };
  } catch (error) {
    claim.release("as-before");
    throw error;
  }
}
var Reception = class {
  #ports;
  #set;
  #link;
  #status;
  #receiving = null;
  /** Why the stream cannot be used; the primary is told before the link is closed. */
  #broken = null;
  #outcome = null;
  #guestEnd = null;
  /** The guest since its last reboot here. */
  #restartedAs = null;
  #forgotten = false;
  #echoes = new EchoRouter();
  #ackWall = null;
  constructor(ports, set, link) {
    this.#ports = ports;
    this.#set = set;
    this.#link = link;
    const { clock, timers, processes } = ports;
    const { claim, log } = set;
    const facts = () => backupFacts(this.#view());
    this.#status = new StatusWriter({ clock, timers, claim, log, owner: processes.self, facts });
  }
  async run() {
    const { claim, log, pulse, hello } = this.#set;
    const { registry } = this.#ports;
    const control = await registry.serve(claim.socketPath, (request) => this.#control(request));
    log.info(`session ${hello.session} of ${hello.domain} begins`);
    try {
      const outcome = await this.#receive();
      this.#outcome = outcome;
      this.#closeStream();
      log.info(`the session is over: ${JSON.stringify(outcome)}`);
      this.#status.write();
      await this.#link.close("the session is over");
      pulse?.pulse.close();
      if (outcome.kind === "activated") await this.#watch();
      return outcome;
    } finally {
      this.#status.close();
      this.#closeStream();
      control.close();
      this.#release();
      log.close();
    }
  }
  /** Nothing more is decoded; the page cache goes, however long the guest is watched. */
  #closeStream() {
    this.#receiving?.intake.stop();
    this.#set.decoder.close();
  }
  /** What is left to be seen: a takeover and a lost copy; a copy given up in order is not. */
  #release() {
    const kind = this.#outcome?.kind;
    const keep = !this.#forgotten && (kind === "activated" || kind === "copy-lost");
    this.#set.claim.release(keep ? "keep-status" : "forget");
  }
  async #receive() {
    const { hello } = this.#set;
    const silence = `${hello.host} sent no CONFIG within ${configMsMax / 1e3} s`;
    const late = () => ({ message: null, reason: silence });
    const first = within(this.#ports.timers, configMsMax, this.#firstMessage(), late);
    const { message, reason } = await first;
    if (message === null) return { kind: "never-whole", reason };
    let receiving;
    try {
      receiving = await this.#begin(message);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.#link.fail(error);
      return { kind: "never-whole", reason: error.message };
    }
    this.#receiving = receiving;
    const { session } = receiving;
    return new Promise((resolve, reject) => {
      session.run().then(resolve, reject);
      this.#link.listen({
        bytes: () => session.onBytes(),
        message: (next) => this.#onMessage(next, receiving),
        close: (close) => session.onLinkClosed(close.reason)
      });
    });
  }
  /** The message after HELLO; null when the link ended before, and why. Holds back what follows. */
  #firstMessage() {
    return new Promise((resolve) => {
      this.#link.listen({
        message: (message) => {
          this.#link.listen(null);
          resolve({ message, reason: "" });
        },
        close: ({ reason }) => resolve({ message: null, reason })
      });
    });
  }
  /** The first message must be CONFIG: with it the copy can be prepared. */
  async #begin(message) {
    const { hello, log } = this.#set;
    const { registry } = this.#ports;
    if (message.kind !== "config") {
      throw new OperationError("protocol", `${message.kind} before CONFIG`, { op: "read-message" });
    }
    const spec = this.#specIn(message);
    const disks = await this.#ports.disks.openBackup(spec, hello.session);
    const copy = this.#newCopy(spec);
    const session = this.#newSession(copy, disks);
    const receiving = { spec, copy, session, ...this.#openIntake(copy, session) };
    this.#set.heartbeats.take = (seq) => session.onHeartbeat(seq);
    void supersede({ uuid: hello.uuid, role: "backup" }, registry, this.#ports, log);
    return receiving;
  }
  #specIn(message) {
    const spec = this.#ports.hypervisor.readSpec(message.config);
    checkConfig(message, this.#set.hello, spec);
    return spec;
  }
  #newCopy(spec) {
    const { hello, log, budget } = this.#set;
    const { hypervisor, clock } = this.#ports;
    return new Copy({
      hypervisor,
      spec,
      clock,
      log,
      queueBytesMax: budget.queueBytes,
      epochBytesMax: epochLimits(hello.memoryBytes).epochBytesMax,
      onFailed: (reason) => this.#receiving?.session.onCopyFailed(reason),
      // Not waited for: the guest runs, and its network is told beside it.
      onRunning: (guest) => void this.#ports.announce(guest, spec, log)
    });
  }
  #newSession(copy, disks) {
    const { hello, log } = this.#set;
    const { clock, timers, step } = this.#ports;
    return new BackupSession({
      ...step === void 0 ? {} : { step },
      clock,
      timers,
      config: { ...hello.timing, parts: ["memory", ...disks.map(({ name }) => name)] },
      copy,
      disks,
      record: this.#sessionRecord(),
      send: (out) => {
        if (out.kind === "ack") this.#ackWall = clock.wall();
        if (out.kind === "echo") this.#echo(out);
        else this.#link.send(out);
      },
      closeLink: (reason) => this.#closeLink(reason),
      log,
      onChange: () => this.#status.changed()
    });
  }
  #echo(echo) {
    const ways = this.#echoes.take(echo.seq);
    if (ways.stream) this.#link.send(echo);
    if (ways.datagram) this.#set.pulse?.pulse.send(echo.seq);
  }
  #openIntake(copy, session) {
    const { hello, decoder, buffers } = this.#set;
    const { timers } = this.#ports;
    const limits = epochLimits(hello.memoryBytes);
    const intake = new StreamIntake(
      {
        timers,
        limits,
        decoder,
        sink: copy,
        onConsumed: (bytes) => this.#link.consumed(bytes),
        onWhole: (epoch) => session.onEpochWhole("memory", epoch),
        onError: (error) => this.#onBroken(error, session, intake)
      },
      buffers
    );
    const assembler = new EpochAssembler({
      ...wireLimits(limits),
      onChunk: (epoch, chunk) => intake.piece(epoch, chunk),
      onEpoch: (end) => intake.end(end)
    });
    return { intake, assembler };
  }
  #sessionRecord() {
    const { record } = this.#set;
    return {
      async move(from, to, epoch, why) {
        return (await record.move(from, to, { epoch, why })).permission;
      },
      async read() {
        return (await record.read())?.permission ?? "standby";
      },
      noteRunning: () => record.noteRunning({})
    };
  }
  #onMessage(message, receiving) {
    const { session } = receiving;
    switch (message.kind) {
      case "heartbeat":
        this.#echoes.heardByStream(message.seq);
        return session.onHeartbeat(message.seq);
      case "data":
      case "epoch-end":
        return this.#onStream(message, receiving);
      case "ask":
        return session.onAsk(message.id);
      case "goodbye":
        return session.onLinkClosed(`the primary ended the session: ${message.reason}`);
      case "error":
        return session.onLinkClosed(`the primary failed: ${message.text}`);
      default:
        throw new OperationError("protocol", `${message.kind} within a session`, {
          op: "read-message"
        });
    }
  }
  #onStream(message, { assembler, intake, session }) {
    try {
      if (message.kind === "epoch-end") assembler.onEpochEnd(message);
      else assembler.onData(message);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.#onBroken(error, session, intake);
    }
  }
  /** Nothing of the stream counts any more; what was whole before does. */
  #onBroken(error, session, intake) {
    this.#set.log.error(error.message);
    intake.stop();
    this.#broken = error;
    session.onCorrupt(error.message);
  }
  #closeLink(reason) {
    if (this.#broken !== null) this.#link.fail(this.#broken);
    else void this.#link.close(reason);
  }
  #view() {
    const { hello, stream, budget } = this.#set;
    const { clock, settings } = this.#ports;
    const copy = this.#receiving?.copy ?? null;
    return {
      nowMs: clock.nowMs(),
      wall: clock.wall(),
      stateDirectory: settings.stateDirectory,
      hello,
      running: this.#receiving?.session ?? null,
      guest: this.#restartedAs ?? copy?.guest ?? null,
      outcome: this.#outcome,
      guestEnd: this.#guestEnd,
      ackWall: this.#ackWall,
      bytes: this.#link.counters.dataBytesReceived,
      rawBytes: this.#receiving?.intake.rawBytes ?? 0,
      copy,
      stream,
      budget
    };
  }
  async #control(request) {
    const session = this.#receiving?.session;
    const { hello } = this.#set;
    switch (request.verb) {
      case "ask":
        if (request.session !== hello.session || session === void 0) {
          throw new OperationError("no-such-session", "this process holds another session", {
            op: "answer-control"
          });
        }
        return { answer: await session.askFresh() };
      case "forget":
        if (this.#outcome === null) break;
        this.#forgotten = true;
        this.#set.claim.release("forget");
        return {};
      case "failover":
        if (session === void 0) break;
        return this.#failover(session);
      case "failover-plan":
        if (session === void 0) break;
        return session.failoverPlan();
      case "stop":
        break;
    }
    throw new OperationError("command-failed", "this session cannot do that now", {
      op: "answer-control",
      hint: adviceLine({ kind: "show", domain: hello.domain })
    });
  }
  async #failover(session) {
    const { hello } = this.#set;
    const refused = await session.failover();
    if (refused !== null) {
      throw new OperationError("split-brain-risk", `failover is refused: ${refused}`, {
        op: "failover",
        subject: hello.domain,
        hint: adviceLine({ kind: "stop-there", domain: hello.domain, peer: hello.host })
      });
    }
    const outcome = await session.outcome();
    if (outcome.kind === "activated") return { text: `${hello.domain} runs here` };
    throw new OperationError(
      "command-failed",
      `the copy did not come up: ${loggedOutcome(outcome)}`,
      {
        op: "failover",
        subject: hello.domain
      }
    );
  }
  /** Until the guest is gone, as xl's daemon would; with -e nobody does. */
  async #watch() {
    const { log, watch } = this.#set;
    const { copy, spec } = this.#receiving ?? {};
    if (!watch || !copy?.guest || spec === void 0) return;
    const ports = { ...this.#ports, log, isStopped: this.#ports.leaveOnRequest() };
    this.#guestEnd = await watchCopy(ports, copy.guest, spec, (guest) => {
      this.#restartedAs = guest;
      this.#status.write();
    });
  }
};

// src/session/primary/preflight.ts
function noSuchDomain(wanted) {
  return new OperationError("no-such-domain", `there is no domain ${wanted} on this host`, {
    op: "find-domain",
    subject: wanted,
    hint: adviceLine({ kind: "list-guests" })
  });
}
async function findGuest(hypervisor, wanted) {
  const byName = await hypervisor.find(wanted);
  if (byName !== null) return byName;
  const numbered = /^\d+$/.test(wanted) ? await hypervisor.numbered(Number(wanted)) : null;
  if (numbered !== null) return numbered;
  throw noSuchDomain(wanted);
}
async function inspectGuest(hypervisor, wanted, unsafe) {
  const ref = await findGuest(hypervisor, wanted);
  if (ref.id === 0) {
    throw new OperationError("unsupported-guest", "Domain-0 cannot be protected", {
      op: "inspect-guest",
      subject: wanted,
      hint: "name a guest of xl list"
    });
  }
  const info = await hypervisor.info(ref);
  if (info === null || info.state === "dying") throw noSuchDomain(wanted);
  if (info.state !== "here" || info.paused) {
    const reason = info.state === "suspended" ? "suspend" : info.end;
    const state = info.state === "here" ? "paused" : `shut down (${reason})`;
    throw new OperationError("unsupported-guest", `domain ${wanted} is ${state}`, {
      op: "inspect-guest",
      subject: wanted,
      hint: info.paused ? adviceLine({ kind: "unpause-guest", domain: wanted }) : "start the guest first"
    });
  }
  const spec = await hypervisor.spec(ref);
  const { name } = spec;
  if (!isDomainName(name)) {
    const shown = JSON.stringify(name === "" ? null : name);
    throw unsupported(wanted, `its name ${shown} has characters tsremus refuses`);
  }
  if (spec.refusals.length > 0) throw unsupported(name, spec.refusals.join("; "));
  if (unsafe.disk && spec.writableDisks.length > 0) throw disksNotBuilt(name);
  return { ref, name, spec, memoryBytes: Math.max(spec.memoryBytes, info.memoryBytes) };
}
function unsupported(name, why) {
  return new OperationError("unsupported-guest", `domain ${name} cannot be protected: ${why}`, {
    op: "inspect-guest",
    subject: name,
    hint: "see tsremus-protect(8), LIMITS"
  });
}
function disksNotBuilt(name) {
  return new OperationError(
    "not-built",
    `domain ${name} has writable disks, and replication of disks is not built yet`,
    {
      op: "inspect-guest",
      subject: name,
      hint: hints.withoutDisks
    }
  );
}
function refuseUnsettled(claim, guest) {
  const { unsettled } = claim;
  if (unsettled === null) return;
  claim.release("keep-status");
  throw new OperationError(
    "locked",
    `an earlier session of ${guest.name} was not ended in order (its process ${unsettled.pid} died)`,
    { op: "claim", subject: guest.name, hint: adviceLine({ kind: "stop", domain: guest.name }) }
  );
}

// src/config/version.ts
var version = typeof __TSREMUS_VERSION__ === "string" ? __TSREMUS_VERSION__ : "unbuilt";

// src/core/outcomes.ts
function heldBack(outcome, unopened) {
  return unopened === null ? outcome : { kind: "held", reason: unopened, mayOpen: true };
}

// src/guest/session-watch.ts
var SessionWatch = class {
  #parts;
  #guard;
  #watch = null;
  #isGivenOn = false;
  constructor(parts2) {
    this.#parts = parts2;
    const { guest, session, wait } = parts2;
    this.#guard = parts2.startGuard({ ref: guest.ref, name: guest.name, session, wait });
  }
  /** Takes the watch. Errors: the guard did not start; the guest is not as it was looked at. */
  async begin() {
    const { hypervisor, guest } = this.#parts;
    try {
      await this.#guard.ready;
    } catch (error) {
      throw new OperationError("command-failed", `the guard did not start: ${errorText(error)}`, {
        op: "start-guard",
        cause: error
      });
    }
    this.#watch = await takeWatch(this.#parts, { uuid: guest.ref.uuid, name: guest.name });
    const info = await hypervisor.info(guest.ref);
    if (info?.state === "here") return;
    throw new OperationError("no-such-domain", `${guest.name} ended just now`, {
      op: "take-watch",
      subject: guest.name,
      hint: adviceLine({ kind: "list-guest", domain: guest.name })
    });
  }
  /** Carries out what the guest's end asks for. */
  settle() {
    const { guest, wait } = this.#parts;
    return settleGuestEnd(this.#parts, guest, wait);
  }
  /**
   * The session ended so. `wasSuspended`: the guest was, by a checkpoint, so xl's daemon may be
   * gone. Returns why nobody sees to the guest's own end; null when somebody does, or nobody need.
   */
  async end(outcome, guestEnd, wasSuspended) {
    switch (outcome.kind) {
      case "held":
        this.abandon();
        return null;
      case "taken-over":
        return null;
      case "guest-ended":
        if (!guestEnd?.isRunning || guestEnd.guest === null) return null;
        return this.#giveOn(guestEnd.guest, true);
      default:
        return this.#giveOn(this.#parts.guest.ref, wasSuspended);
    }
  }
  async #giveOn(guest, wasSuspended) {
    const { hypervisor, guest: own, wait, log } = this.#parts;
    if (!wait || !wasSuspended && this.#watch?.wasTaken !== true) return null;
    const other = hypervisor.otherWatcher(guest, own.name);
    if (other !== null) {
      log.info(`${other} watches the guest`);
      return null;
    }
    this.#release();
    this.#isGivenOn = true;
    if (await this.#guard.watch(guest)) return null;
    return "its guard has gone: nobody carries out what its own end asks for";
  }
  /** Nobody has decided: the guard stands in from the moment at which this process has gone. */
  abandon() {
    this.#isGivenOn = true;
  }
  /** The session is over: what was not given on is let go. */
  async close() {
    if (!this.#isGivenOn && this.#watch?.wasTaken) {
      await this.#giveOn(this.#parts.guest.ref, false);
    }
    if (this.#isGivenOn) return;
    this.#guard.done();
    this.#release();
  }
  #release() {
    this.#watch?.release();
    this.#watch = null;
  }
};

// src/session/all-of.ts
async function allOf(works, giveUp3) {
  const failures = [];
  await Promise.all(
    works.map(
      (work2) => work2.catch((error) => {
        failures.push(error);
        giveUp3();
      })
    )
  );
  if (failures.length > 0) throw failures[0];
}

// src/session/teardown.ts
var Teardown = class {
  #taken = [];
  #say;
  /** `say`: what could not be given back, a sentence without final stop. */
  constructor(say) {
    this.#say = say;
  }
  /** Something was taken. */
  took(name, giveBack) {
    this.#taken.push({ name, giveBack });
  }
  /** Names in the order in which they are given back. */
  get order() {
    return this.#taken.map(({ name }) => name).reverse();
  }
  /** Gives everything back. Never rejects. */
  async run() {
    for (let last = this.#taken.pop(); last !== void 0; last = this.#taken.pop()) {
      try {
        await last.giveBack();
      } catch (error) {
        this.#say(`${last.name} could not be given back: ${errorText(error)}`);
      }
    }
  }
};

// src/session/primary/schedule-change.ts
function scheduleOf2(interval, maxOverheadPercent) {
  if (interval !== "auto") return { kind: "fixed", intervalMs: interval };
  return {
    kind: "auto",
    minMs: autoMinMsDefault,
    maxMs: autoMaxMsDefault,
    maxOverhead: maxOverheadPercent / 100
  };
}
function usage(text) {
  return new OperationError("command-failed", text, {
    op: "set-schedule",
    hint: "interval=auto max-overhead=20"
  });
}
function changedSchedule(now, request) {
  const { interval, maxOverhead: percent } = request;
  const isAuto = interval === void 0 ? now.kind === "auto" : interval === "auto";
  if (!isAuto && percent !== void 0) {
    throw usage("max-overhead is for interval=auto, and this session has a fixed interval");
  }
  const schedule = typeof interval === "number" ? { kind: "fixed", intervalMs: interval } : isAuto ? automatic(now, percent) : now;
  const problem = scheduleProblem(schedule);
  if (problem !== null) throw usage(problem);
  return schedule;
}
function automatic(now, percent) {
  const before = now.kind === "auto" ? now : defaultSchedule;
  return percent === void 0 ? before : { ...before, maxOverhead: percent / 100 };
}

// src/session/primary/facts.ts
function scheduleSaid({ interval, maxOverheadPercent }) {
  return scheduleOf2(interval, maxOverheadPercent);
}
function machineFacts2({ nowMs, options, running, outcome, guestEnd }) {
  const facts = running === null ? {
    role: "primary",
    state: "connecting",
    epoch: null,
    ack_age_ms: null,
    late_after_ms: lateAfterMs(scheduleSaid(options), noPace, options.heartbeatTimeoutMs),
    buffered: options.network,
    reason: null
  } : primaryMachineFacts(running.state, nowMs, running.guestPaused);
  if (outcome === null) return facts;
  const why = "reason" in outcome ? outcome.reason : null;
  const reason = guestEnd === null ? why : `${why}; ${guestEnd.text}`;
  if (guestEnd?.isRunning) return { ...facts, state: "unprotected", reason };
  if (outcome.kind === "held" || outcome.kind === "unprotected") {
    return { ...facts, state: outcome.kind, reason };
  }
  return { ...facts, state: "ended", reason };
}
function seedPercent(bytes, memoryBytes) {
  if (memoryBytes <= 0) return 0;
  return Math.min(99, Math.floor(100 * bytes / memoryBytes));
}
function scheduleStatus(schedule) {
  if (schedule.kind === "fixed") {
    return { mode: "fixed", interval_ms: schedule.intervalMs, max_overhead_percent: null };
  }
  const percent = Math.round(1e3 * schedule.maxOverhead) / 10;
  return { mode: "auto", interval_ms: null, max_overhead_percent: percent };
}
function memoryOf({ budget, running }) {
  if (budget === null) return null;
  return {
    max_bytes: budget.maxBytes,
    queue_bytes: budget.queueBytes,
    cache_bytes: budget.cacheBytes,
    waiting_bytes: running?.waitingBytes ?? 0
  };
}
function streamFacts2(view) {
  const { running, options } = view;
  const figures = running?.figures;
  const state = running?.state;
  return {
    epochs: figures === void 0 ? [] : [...figures.epochs],
    bytes_sent: running?.moved.wireBytes ?? 0,
    bytes_raw: running?.moved.rawBytes ?? 0,
    codec: view.codec,
    pages: figures?.pages ?? null,
    histograms: figures?.histograms() ?? null,
    schedule: scheduleStatus(state?.schedule ?? scheduleSaid(options)),
    pending_max: options.pendingMax,
    in_flight: state === void 0 || state.acked < 0 ? 0 : state.drained - state.acked,
    memory: memoryOf(view),
    stalls: figures?.stalls.count ?? 0,
    stalled_ms: figures?.stalls.ms ?? 0,
    degraded: view.outcome === null ? running?.degraded ?? null : null
  };
}
function domidOf({ guest, outcome, guestEnd }) {
  if (guestEnd !== null) return guestEnd.guest?.id ?? null;
  return outcome?.kind === "taken-over" ? null : guest.ref.id;
}
function primaryFacts(view) {
  const { guest, options, running, outcome } = view;
  const facts = machineFacts2(view);
  const blocked = outcome === null ? blockedText(guest.name, view.interfaces) : null;
  const stream = streamFacts2(view);
  const seeding = facts.state === "seeding" && running !== null;
  return {
    ...facts,
    domain: guest.name,
    domid: domidOf(view),
    uuid: guest.ref.uuid,
    session: view.session,
    peer: options.host,
    ack_time: running?.ackWall?.toISOString() ?? null,
    heartbeat_timeout_ms: options.heartbeatTimeoutMs,
    seed_percent: seeding ? seedPercent(running.moved.rawBytes, guest.memoryBytes) : null,
    ...stream,
    degraded: stream.degraded ?? blocked,
    next: facts.state === "protected" && blocked !== null ? [adviceLine({ kind: "stop-to-plug-in", domain: guest.name })] : [],
    output: options.network ? outputStatus(view.interfaces) : null,
    outcome: outcome?.kind ?? null,
    transport: { host: options.host, ssh_command: options.sshCommand },
    guest_paused: running?.guestPaused ?? false,
    watch: options.wait,
    may_open: outcome?.kind === "held" && outcome.mayOpen === true
  };
}
function outputStatus(interfaces) {
  const shown = interfaces.map(({ name, state, packets, bytes, dropped, nearLimit }) => {
    return { name, state, packets, bytes, dropped, near_limit: nearLimit };
  });
  const sum = (of) => shown.reduce((total, one) => total + of(one), 0);
  return {
    packets: sum((one) => one.packets),
    bytes: sum((one) => one.bytes),
    dropped: sum((one) => one.dropped),
    interfaces: shown
  };
}
function blockedText(domain, interfaces) {
  const named = (state) => interfaces.filter((one) => one.state === state).map(({ name }) => name);
  const text = (word, names, what) => `${word}: ${names.join(", ")} came while ${domain} was protected: ${what}`;
  const [open, blocked] = [named("open"), named("blocked")];
  if (open.length > 0) return text("open", open, "what it sends is not held back");
  return blocked.length === 0 ? null : text("blocked", blocked, "nothing that it sends leaves it");
}

// src/session/primary/news.ts
var ProtectNews = class {
  #parts;
  #told = null;
  #seedBegan = 0;
  constructor(parts2) {
    this.#parts = parts2;
  }
  /** `kind` and `text` as in ProtectReporter. */
  tell(kind, text) {
    this.#parts.log.info(text);
    this.#parts.reporter.event(kind, text);
  }
  /** Says what the session has come to, once each time; being late is for `status` to say. */
  cameTo(state, reason) {
    const { guest, host } = this.#parts;
    const texts = {
      protected: `protected by ${host}`,
      ending: `asking ${host} for leave to go on here`,
      held: `held${reason === null ? "" : `: ${reason}`}; ${vouchClause(guest.name, host)}`
    };
    const text = texts[state];
    if (text === void 0 || state === this.#told) return;
    this.#told = state;
    this.tell(state, text);
  }
  seedBegins() {
    this.#seedBegan = this.#parts.clock.nowMs();
  }
  /** So many bytes of the seed were read so far. */
  seedMoved(bytes) {
    const { clock, guest, reporter } = this.#parts;
    const { memoryBytes } = guest;
    const seconds = (clock.nowMs() - this.#seedBegan) / 1e3;
    const bytesPerSecond = seconds > 0 ? bytes / seconds : 0;
    const left = memoryBytes - bytes;
    const secondsLeft = bytesPerSecond > 0 && left > 0 ? left / bytesPerSecond : null;
    const percent = seedPercent(bytes, memoryBytes);
    reporter.seedProgress({ percent, bytes, bytesPerSecond, secondsLeft });
  }
};

// src/stream/pump.ts
var slots = callsMax + 1;
var EpochPump = class {
  #options;
  #free = [];
  #made = 0;
  #jobs = [];
  #ends = /* @__PURE__ */ new Map();
  #epoch = 0;
  #epochBytes = 0;
  #filling = null;
  #filled = 0;
  #encodeFromMs = null;
  #rawBytes = 0;
  #wireBytes = 0;
  #reading = false;
  #again = false;
  #sending = false;
  #sendFromMs = null;
  #sendingEpoch = 0;
  #stopped = false;
  constructor(options) {
    this.#options = options;
  }
  #now() {
    return this.#options.clock.nowMs();
  }
  /** Raw bytes taken from the save operation since the session began. */
  get rawBytes() {
    return this.#rawBytes;
  }
  /** Encoded bytes that went into the link since the session began. */
  get wireBytes() {
    return this.#wireBytes;
  }
  /** Something may be there to read. */
  wake() {
    this.#again = true;
    if (!this.#reading) void this.#guarded(() => this.#read());
  }
  /** The epoch is drained: its end follows its last byte. */
  epochEnd(end) {
    this.#ends.set(end.epoch, end);
    this.wake();
  }
  /** Nothing more is read or sent. */
  stop() {
    this.#stopped = true;
  }
  async #guarded(work2) {
    try {
      await work2();
    } catch (error) {
      if (this.#stopped) return;
      this.#stopped = true;
      this.#options.onError(error);
    }
  }
  async #read() {
    this.#reading = true;
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        for (; ; ) {
          const end = this.#endReached();
          if (end !== null) await this.#close(end);
          else if (!this.#readSome()) break;
          if (this.#stopped) return;
        }
      }
    } finally {
      this.#reading = false;
    }
  }
  /** Fills the buffer at hand; false: nothing to read, or no buffer (a sent one wakes us). */
  #readSome() {
    const buffer = this.#filling ?? this.#takeBuffer();
    if (buffer === null) return false;
    this.#filling = buffer;
    const count = this.#options.save.read(buffer.subarray(this.#filled));
    this.#filled += count;
    this.#epochBytes += count;
    this.#rawBytes += count;
    if (this.#filled === buffer.length) this.#encode();
    return count > 0;
  }
  #takeBuffer() {
    const buffer = this.#free.pop();
    if (buffer !== void 0) return buffer;
    if (this.#made === slots) return null;
    this.#made += 1;
    return Buffer.allocUnsafeSlow(batchBytesMax);
  }
  #endReached() {
    const end = this.#ends.get(this.#epoch);
    return end?.bytes === this.#epochBytes ? end : null;
  }
  /** Hands the buffer at hand to the encoder. */
  #encode() {
    const buffer = this.#filling;
    if (buffer === null || this.#filled === 0) return;
    this.#encodeFromMs ??= this.#now();
    const encoded = this.#options.encoder.encode(buffer.subarray(0, this.#filled));
    encoded.catch(() => {
    });
    this.#filling = null;
    this.#filled = 0;
    this.#push({ kind: "batch", buffer, encoded });
  }
  async #close(end) {
    this.#encode();
    this.#ends.delete(end.epoch);
    this.#epoch = end.epoch + 1;
    this.#epochBytes = 0;
    const closed = this.#options.encoder.endEpoch();
    await closed;
    const encodeMs = this.#now() - (this.#encodeFromMs ?? this.#now());
    this.#encodeFromMs = null;
    this.#push({ kind: "end", end, closed, encodeMs });
  }
  #push(job) {
    this.#jobs.push(job);
    if (!this.#sending) void this.#guarded(() => this.#send());
  }
  async #send() {
    this.#sending = true;
    try {
      for (let job = this.#jobs.shift(); job !== void 0; job = this.#jobs.shift()) {
        const open = job.kind === "batch" ? await this.#sendBatch(job) : await this.#sendEnd(job);
        if (!open) this.stop();
        if (this.#stopped) return;
      }
    } finally {
      this.#sending = false;
    }
  }
  async #sendBatch({ buffer, encoded }) {
    const wire = await encoded;
    if (this.#stopped) return false;
    this.#sendFromMs ??= this.#now();
    const open = await this.#options.sink.sendData(this.#sendingEpoch, wire);
    this.#wireBytes += wire.length;
    this.#free.push(buffer);
    this.wake();
    return open;
  }
  async #sendEnd(job) {
    const { end, encodeMs } = job;
    const { sink, onSent, onFigures } = this.#options;
    const { rawBytes, checksum, cacheState, pages, wireBytes } = await job.closed;
    if (this.#stopped) return false;
    onSent(end.epoch);
    if (this.#stopped) return false;
    const digest = { rawBytes, checksum, cacheState };
    const open = await sink.endEpoch(end.epoch, end.pages, digest);
    const transferMs = this.#now() - (this.#sendFromMs ?? this.#now());
    this.#sendFromMs = null;
    this.#sendingEpoch = end.epoch + 1;
    if (open) onFigures({ epoch: end.epoch, rawBytes, wireBytes, pages, encodeMs, transferMs });
    return open;
  }
};

// src/core/histogram.ts
var perDoubling = 8;
var smallest = 2 ** -10;
var buckets = 56 * perDoubling;
var Histogram = class {
  #counts = new Uint32Array(buckets);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  get count() {
    return this.#count;
  }
  /** Adds a value of 0 or more; anything else is a bug of the caller's. */
  add(value) {
    if (!(value >= 0 && Number.isFinite(value))) throw new Error(`${value} cannot be measured`);
    const at = bucketOf(value);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#count += 1;
    this.#sum += value;
    this.#min = Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
  }
  /** The value below which the share `share` (0 to 1) of all values lies; null for none. */
  percentile(share) {
    if (this.#count === 0) return null;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let at = 0; at < buckets; at++) {
      seen += this.#counts[at] ?? 0;
      if (seen >= rank) return Math.min(this.#max, Math.max(this.#min, middleOf(at)));
    }
    return this.#max;
  }
  summary() {
    const some = this.#count > 0;
    return {
      count: this.#count,
      sum: rounded(this.#sum),
      min: some ? rounded(this.#min) : null,
      p50: roundedOrNull(this.percentile(0.5)),
      p90: roundedOrNull(this.percentile(0.9)),
      p99: roundedOrNull(this.percentile(0.99)),
      max: some ? rounded(this.#max) : null
    };
  }
};
function bucketOf(value) {
  if (value <= smallest) return 0;
  const at = Math.floor(Math.log2(value / smallest) * perDoubling);
  return Math.min(buckets - 1, Math.max(0, at));
}
function middleOf(bucket) {
  return smallest * 2 ** ((bucket + 0.5) / perDoubling);
}
function rounded(value) {
  return Math.round(value * 1e3) / 1e3;
}
function roundedOrNull(value) {
  return value === null ? null : rounded(value);
}

// src/session/primary/figures.ts
var epochsMax = 16;
var stallShownMs = 1e4;
var inFlightMax = pendingMaxMax;
function tenths(ms) {
  return Math.round(ms * 10) / 10;
}
var deferred = "deferred: the next checkpoint waits for an acknowledgement";
var SessionFigures = class {
  #times = {
    pause: new Histogram(),
    encode: new Histogram(),
    transfer: new Histogram(),
    acknowledge: new Histogram(),
    period: new Histogram()
  };
  #raw = new Histogram();
  #wire = new Histogram();
  #epochs = [];
  #leftAtMs = /* @__PURE__ */ new Map();
  #drainedAtMs = null;
  #pages = { unchanged: 0, zero: 0, delta: 0, raw: 0 };
  #drainedBytes = 0;
  #stalls = 0;
  #stalledMs = 0;
  /** The epoch that keeps the guest waiting now. */
  #stalled = null;
  #stallEndedAtMs = Number.NEGATIVE_INFINITY;
  /** The guest runs again at `nowMs`. */
  drained(epoch, nowMs) {
    this.#drainedBytes += epoch.bytes;
    if (epoch.epoch === 0) return;
    if (this.#drainedAtMs !== null) this.#times.period.add(nowMs - this.#drainedAtMs);
    this.#drainedAtMs = nowMs;
    this.#times.pause.add(epoch.pauseMs);
    this.#stalled = null;
    if (epoch.stalledMs > 0) {
      this.#stalls += 1;
      this.#stalledMs += epoch.stalledMs;
      this.#stallEndedAtMs = nowMs;
    }
    if (this.#epochs.length === epochsMax) this.#epochs.shift();
    this.#epochs.push({
      epoch: epoch.epoch,
      pause_ms: tenths(epoch.pauseMs),
      bytes: epoch.bytes,
      sent_bytes: null,
      pages: epoch.pages
    });
  }
  /** The end of the epoch goes into the link at `nowMs`. */
  leaving(epoch, nowMs) {
    if (epoch > 0) this.#leftAtMs.set(epoch, nowMs);
    this.#leftAtMs.delete(epoch - inFlightMax);
  }
  /** The end of the epoch is with the transport. */
  sent(epoch) {
    const { same, zero, delta, copy } = epoch.pages;
    this.#pages = {
      unchanged: this.#pages.unchanged + same,
      zero: this.#pages.zero + zero,
      delta: this.#pages.delta + delta,
      raw: this.#pages.raw + copy
    };
    if (epoch.epoch === 0) return;
    this.#times.encode.add(epoch.encodeMs);
    this.#times.transfer.add(epoch.transferMs);
    this.#raw.add(epoch.rawBytes);
    this.#wire.add(epoch.wireBytes);
    const at = this.#epochs.findIndex((one) => one.epoch === epoch.epoch);
    const found = this.#epochs[at];
    if (found !== void 0) this.#epochs[at] = { ...found, sent_bytes: epoch.wireBytes };
  }
  /** The backup acknowledged the epoch at `nowMs`. */
  acknowledged(epoch, nowMs) {
    const leftAtMs = this.#leftAtMs.get(epoch);
    if (leftAtMs === void 0) return;
    this.#leftAtMs.delete(epoch);
    this.#times.acknowledge.add(Math.max(0, nowMs - leftAtMs));
  }
  /** The epoch keeps the guest suspended: so many bytes wait, and no more may. */
  stalled(epoch, waitingBytes) {
    this.#stalled = { epoch, waitingBytes };
  }
  /**
   * What keeps the guest from running as it should: the word `stalled` of the man page and one
   * sentence without final stop; null: nothing.
   * A stall is told of for a while after its end, since who looks comes by now and then.
   */
  degraded(nowMs) {
    if (this.#stalled !== null) {
      const { epoch, waitingBytes } = this.#stalled;
      const waiting = formatBytes(waitingBytes);
      return `stalled: epoch ${epoch} keeps the guest suspended, ${waiting} wait to be sent`;
    }
    if (nowMs - this.#stallEndedAtMs > stallShownMs) return null;
    const checkpoints = this.#stalls === 1 ? "1 checkpoint" : `${this.#stalls} checkpoints`;
    return `stalled: ${checkpoints} kept the guest suspended until there was room in memory, ${formatMs(this.#stalledMs)} in all`;
  }
  /** The last few, oldest first. */
  get epochs() {
    return this.#epochs;
  }
  /** Pages sent since the session began, the seed's too. */
  get pages() {
    return this.#pages;
  }
  /** Of the stream, of all epochs that the guest has left behind. */
  get drainedBytes() {
    return this.#drainedBytes;
  }
  /** Checkpoints that kept the guest waiting for room, and for how long in all. */
  get stalls() {
    return { count: this.#stalls, ms: Math.round(this.#stalledMs) };
  }
  histograms() {
    const { pause, encode, transfer, acknowledge, period } = this.#times;
    return {
      pause_ms: pause.summary(),
      encode_ms: encode.summary(),
      transfer_ms: transfer.summary(),
      acknowledge_ms: acknowledge.summary(),
      period_ms: period.summary(),
      raw_bytes: this.#raw.summary(),
      sent_bytes: this.#wire.summary()
    };
  }
};

// src/session/primary/session.ts
var tickMsMin2 = 5;
var tickMsMax2 = 1e3;
var lookEveryMs = 2e3;
var heartbeat = (seq) => ({ kind: "heartbeat", seq });
var routine = /* @__PURE__ */ new Set([
  ...["tick", "echo", "progress", "output"]
]);
var ofEpochs = /* @__PURE__ */ new Set([
  ...["checkpoint", "drained", "sent", "ack"]
]);
var PrimarySession = class {
  #parts;
  #machine;
  #row;
  #done;
  #finish = () => {
  };
  #fail = () => {
  };
  #save = null;
  #saveEnded = false;
  #abortWanted = false;
  #pump = null;
  #timer;
  #stopLooking = null;
  #over = false;
  figures;
  #ackWall = null;
  /** Pauses of ours that are not undone yet; the hypervisor counts them, too. */
  #pauses = 0;
  #phase = "connecting";
  #unopened = null;
  constructor(parts2) {
    this.#parts = parts2;
    this.figures = new SessionFigures();
    const { step = stepPrimary } = parts2;
    const initial = initialPrimary(parts2.config, this.#now());
    this.#machine = new Machine(initial, step, (effect) => this.#perform(effect));
    this.#timer = new WakeTimer({
      clock: parts2.clock,
      timers: parts2.timers,
      minMs: tickMsMin2,
      maxMs: tickMsMax2,
      onWake: () => this.#dispatch({ kind: "tick", nowMs: this.#now() })
    });
    this.#row = new Row((error) => parts2.log.error(errorText(error)));
    this.#done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
  }
  #now() {
    return this.#parts.clock.nowMs();
  }
  get state() {
    return this.#machine.state;
  }
  get guestPaused() {
    return this.#pauses > 0;
  }
  /** What kept the output buffer from being opened when it was to be; null: nothing. */
  get unopened() {
    return this.#unopened;
  }
  /** When the newest acknowledgement came, time of day; null before the first. */
  get ackWall() {
    return this.#ackWall;
  }
  /** What keeps the guest from running as it should; null: nothing. */
  get degraded() {
    return this.figures.degraded(this.#now());
  }
  /** Bytes of the stream that the guest has left behind and that are not being sent yet. */
  get waitingBytes() {
    return Math.max(0, this.figures.drainedBytes - this.moved.rawBytes);
  }
  /** Of the checkpoint stream: taken from the guest, and sent, encoded. */
  get moved() {
    return { rawBytes: this.#pump?.rawBytes ?? 0, wireBytes: this.#pump?.wireBytes ?? 0 };
  }
  /** Runs from the open link to the outcome. Rejects only on a violated invariant. */
  run() {
    const { hypervisor, guest, link, encoder, queueBytes, output, disks, clock } = this.#parts;
    this.#dispatch({ kind: "link-open", nowMs: this.#now() });
    this.#save = hypervisor.startSave(guest, {
      limitBytes: queueBytes,
      // Disks first: what the guest sends may tell of what it wrote.
      barriers: [...disks, output].flatMap(({ barrier }) => barrier === null ? [] : [barrier]),
      onEvent: (event) => this.#onSave(event)
    });
    this.#pump = new EpochPump({
      clock,
      save: this.#save,
      encoder,
      sink: link,
      onSent: (epoch) => {
        this.figures.leaving(epoch, this.#now());
        this.#dispatch({ kind: "sent", epoch, nowMs: this.#now() });
      },
      onFigures: (sent) => this.figures.sent(sent),
      onError: (error) => this.#onPumpError(error)
    });
    output.listen(
      ({ packets, bytes, nearLimit }) => this.#dispatch({ kind: "output", packets, bytes, nearLimit, nowMs: this.#now() })
    );
    this.#lookLater();
    return this.#done;
  }
  /**
   * Xen asks a guest to suspend through its event channel and waits a minute for the answer of one
   * that has ended (libxl_dom_suspend.c, domain_suspend_common_wait_guest): we look for ourselves.
   */
  #lookLater() {
    this.#stopLooking = this.#parts.timers.after(lookEveryMs, () => void this.#look());
  }
  async #look() {
    const { hypervisor, guest, log } = this.#parts;
    try {
      const reason = endOf(await hypervisor.info(guest));
      if (reason !== null) {
        this.#dispatch({ kind: "guest-ended", reason, nowMs: this.#now() });
        return;
      }
    } catch (error) {
      log.info(errorText(error));
    }
    if (!this.#over) this.#lookLater();
  }
  /** Nothing more can be sent: the backup is told why, and asked for leave to go on here. */
  #onPumpError(error) {
    const text = `the checkpoint stream cannot be sent: ${errorText(error)}`;
    this.#parts.log.error(text);
    const code = error instanceof OperationError ? error.code : "command-failed";
    this.#parts.link.fail(new OperationError(code, text, { op: "send-stream", cause: error }));
  }
  /** A schedule in which `scheduleProblem` found nothing wrong. */
  setSchedule(schedule) {
    this.#dispatch({ kind: "set-schedule", schedule, nowMs: this.#now() });
  }
  stop(force, by) {
    this.#dispatch({ kind: "stop", force, by, nowMs: this.#now() });
  }
  onMessage(message) {
    const nowMs = this.#now();
    switch (message.kind) {
      case "ack":
        this.#ackWall = this.#parts.clock.wall();
        this.figures.acknowledged(message.epoch, nowMs);
        return this.#dispatch({ kind: "ack", epoch: message.epoch, nowMs });
      case "echo":
        return this.#dispatch({ kind: "echo", seq: message.seq, nowMs });
      case "answer":
        return this.#dispatch({ kind: "answer", id: message.id, answer: message.answer, nowMs });
      case "copy-lost":
        return this.#dispatch({ kind: "copy-lost", reason: message.reason, nowMs });
      case "activated":
        return this.#dispatch({
          kind: "answer",
          id: -1,
          answer: { kind: "active", running: true },
          nowMs
        });
      case "error":
        this.#parts.log.error(`the backup says: ${message.text}`);
        return this.onLinkClosed(`the backup ended the session: ${message.text}`);
      case "goodbye":
        return this.onLinkClosed(`the backup ended the session: ${message.reason}`);
      default:
        this.#parts.log.error(`the backup sent ${message.kind}, which only a primary sends`);
        void this.#parts.link.close(`unexpected ${message.kind}`);
    }
  }
  onEcho(seq) {
    this.#dispatch({ kind: "echo", seq, nowMs: this.#now() });
  }
  /** The backup took bytes of an epoch. */
  onProgress() {
    this.#dispatch({ kind: "progress", nowMs: this.#now() });
  }
  onLinkClosed(reason) {
    this.#dispatch({ kind: "link-closed", reason, nowMs: this.#now() });
  }
  #dispatch(event) {
    if (this.#over) return;
    if (ofEpochs.has(event.kind)) this.#parts.log.debug(describePrimaryEvent(event));
    else if (!routine.has(event.kind)) this.#parts.log.info(describePrimaryEvent(event));
    try {
      this.#machine.dispatch(event);
    } catch (error) {
      this.#stopTimers();
      this.#fail(error);
      return;
    }
    if (!this.#over) this.#timer.wakeAt(primaryWakeAtMs(this.state));
    const { phase } = this.#machine.state;
    if (phase === this.#phase && (routine.has(event.kind) || ofEpochs.has(event.kind))) return;
    this.#phase = phase;
    this.#parts.onChange();
  }
  #onSave(event) {
    const nowMs = this.#now();
    switch (event.kind) {
      case "data":
        return this.#pump?.wake();
      case "output":
        return this.#parts.output.look();
      case "checkpoint":
        return this.#dispatch({ kind: "checkpoint", epoch: event.epoch, nowMs });
      case "epoch-end": {
        const { epoch, bytes, pages, pauseMs } = event;
        this.figures.drained(event, nowMs);
        this.#dispatch({ kind: "drained", epoch, pauseMs, pages, nowMs });
        this.#pump?.epochEnd({ epoch, bytes, pages });
        if (isDeferred(this.state, this.state.config.pendingMax)) this.#parts.log.debug(deferred);
        return;
      }
      case "stalled":
        if (event.epoch > 0) this.#onStalled(event.epoch, event.waitingBytes);
        return;
      case "log":
        this.#parts.log.debug(`hypervisor: ${event.text}`);
        return;
      case "ended":
        this.#onSaveEnded(event, nowMs);
    }
  }
  #onStalled(epoch, waitingBytes) {
    this.figures.stalled(epoch, waitingBytes);
    this.#parts.log.warning(this.degraded ?? "");
    this.#parts.onChange();
  }
  #onSaveEnded(event, nowMs) {
    this.#saveEnded = true;
    this.#pump?.stop();
    const end = event.end;
    if (end.kind === "guest-ended") {
      this.#dispatch({ kind: "guest-ended", reason: end.reason, nowMs });
    } else if (!this.#abortWanted) {
      const reason = end.kind === "failed" ? end.reason : "the stream is broken (see the log)";
      this.#dispatch({ kind: "save-failed", reason, nowMs });
    }
    if (this.#abortWanted) this.#dispatch({ kind: "save-ended", nowMs });
  }
  #perform(effect) {
    const { hypervisor, guest, link, log, pulse } = this.#parts;
    if (effect.kind === "take-checkpoint" || effect.kind === "release") {
      log.debug(`  -> ${describePrimaryEffect(effect)}`);
    } else if (effect.kind !== "send-heartbeat") log.info(`  -> ${describePrimaryEffect(effect)}`);
    switch (effect.kind) {
      case "send-heartbeat":
        if (needsStream(effect.seq, pulse?.newest)) link.send(heartbeat(effect.seq));
        pulse?.send(effect.seq);
        return;
      case "take-checkpoint":
        this.#save?.checkpoint();
        return;
      case "release":
        return this.#release(effect.epoch);
      case "open-buffer":
        this.#row.run(async () => {
          const isOver = this.state.guest === "ended";
          this.#unopened = await openForGood(this.#parts.output, isOver, (text) => log.error(text));
        });
        return;
      case "ask-promise":
        return this.#ask(effect.id, effect.way);
      case "pause-guest":
        this.#pause(effect.reason);
        return;
      case "unpause-guest":
        this.#row.run(async () => {
          await hypervisor.unpause(guest);
          this.#pauses -= 1;
          if (this.#pauses === 0) log.info("the guest runs again");
          this.#parts.onChange();
        });
        return;
      case "abort-save":
        this.#abortWanted = true;
        this.#pump?.stop();
        if (this.#saveEnded || this.state.guest === "ended") {
          this.#dispatch({ kind: "save-ended", nowMs: this.#now() });
        } else this.#save?.abort();
        return;
      case "destroy-guest":
        this.#row.run(async () => {
          await this.#parts.output.drop().catch((error) => log.error(errorText(error)));
          await hypervisor.destroy(guest);
        });
        return;
      case "close-link":
        void link.close("the session is over");
        return;
      case "end":
        return this.#end(effect.outcome);
    }
  }
  /**
   * Nothing more is done here: the guest is left as somebody who decides later has to find it. With
   * a buffer it is mute; without one it is paused, because the backup may activate from now on.
   */
  async abandon() {
    this.#stopTimers();
    await this.#row.idle();
    const isMute = this.#parts.config.buffered || this.guestPaused;
    if (isMute || this.state.guest === "ended") return;
    this.#pause("nobody has decided who goes on");
  }
  #pause(reason) {
    const { hypervisor, guest, log, onPause } = this.#parts;
    this.#pauses += 1;
    log.warning(`the guest is paused: ${reason}`);
    onPause();
    hypervisor.pause(guest);
  }
  /** One that the kernel refuses is made up for by the next: what is sealed stays sealed. */
  #release(epoch) {
    try {
      this.#parts.output.release(epoch);
    } catch (error) {
      this.#parts.log.error(`epoch ${epoch} is still held back: ${errorText(error)}`);
    }
  }
  #ask(id, way) {
    if (way === "link") return void this.#parts.link.send({ kind: "ask", id });
    this.#parts.askFresh().then(
      (answer) => this.#dispatch({ kind: "answer", id, answer, nowMs: this.#now() }),
      (error) => {
        const reason = errorText(error);
        this.#dispatch({ kind: "ask-failed", id, reason, nowMs: this.#now() });
      }
    );
  }
  #stopTimers() {
    this.#over = true;
    this.#timer.stop();
    this.#stopLooking?.();
    this.#pump?.stop();
  }
  #end(outcome) {
    this.#stopTimers();
    void this.#row.idle().then(() => this.#finish(outcome));
  }
};

// src/session/primary/protection.ts
var askEveryMs2 = 1e3;
var progressEveryMs = 5e3;
var seedShownEveryMs = 200;
var Protection = class {
  #ports;
  #set;
  #session;
  #hello;
  #watch;
  #news;
  #teardown;
  #status;
  #maxMemoryBytes;
  #waiting = [];
  #stage = { kind: "beginning" };
  #signals = 0;
  /** Ordered before there was a session to stop. */
  #stoppedBy = null;
  #leaveHeld = () => {
  };
  constructor(ports, set) {
    this.#ports = ports;
    this.#set = set;
    const { options, guest, log, reporter, claim } = set;
    const { settings, clock, timers, processes } = ports;
    const { wait, host } = options;
    this.#session = newSessionId(ports.chance);
    this.#news = new ProtectNews({ clock, reporter, log, guest, host });
    this.#watch = new SessionWatch({ ...ports, guest, session: this.#session, wait, log });
    this.#teardown = new Teardown((text) => log.error(text));
    this.#maxMemoryBytes = options.maxMemoryBytes ?? defaultMaxMemory(settings.memoryBytes);
    const codecs = codecsOf(options.compression);
    this.#hello = {
      tsremus: version,
      xen: null,
      host: settings.hostName,
      capabilities: { codecs, disks: [] },
      purpose: "session",
      domain: guest.name,
      uuid: guest.ref.uuid,
      session: this.#session,
      timing: this.#timing(),
      memoryBytes: guest.memoryBytes,
      cacheBytes: cacheBytesWithin(this.#maxMemoryBytes, guest.memoryBytes),
      noWait: !options.wait
    };
    const facts = () => primaryFacts(this.#view());
    this.#status = new StatusWriter({ clock, timers, claim, log, owner: processes.self, facts });
  }
  #onNews = (text) => this.#news.tell("output", text);
  #timing() {
    const { heartbeatTimeoutMs, holdMs, network } = this.#set.options;
    return { heartbeatTimeoutMs, holdMs, buffered: network };
  }
  get #running() {
    const { stage } = this.#staged();
    return stage.kind === "running" ? stage.session : null;
  }
  /** The stage, or the one in which it concluded. */
  #staged() {
    const stage = this.#stage;
    if (stage.kind !== "concluded") return { stage, isOver: false };
    return { stage: stage.was ?? { kind: "beginning" }, isOver: true };
  }
  /** Runs to the outcome. Throws when it could not begin, or on a bug: then the claim is kept. */
  async run() {
    const { claim, log } = this.#set;
    this.#teardown.took("the log", () => log.close());
    this.#ports.onEndSignals((by) => this.#onSignal(by));
    this.#teardown.took("the watch", () => this.#watch.close());
    try {
      await this.#serve();
      const ready = await this.#getReady();
      return await this.#conclude(await this.#runSession(ready));
    } catch (error) {
      if (this.#stoppedBy !== null) {
        return await this.#conclude({ kind: "stopped", by: this.#stoppedBy });
      }
      if (this.#running !== null) {
        this.#watch.abandon();
        claim.release("keep-status");
      }
      this.#status.close();
      throw error;
    } finally {
      await this.#teardown.run();
    }
  }
  async #serve() {
    const { registry } = this.#ports;
    const control = await registry.serve(
      this.#set.claim.socketPath,
      (request, progress) => this.#control(request, progress)
    );
    this.#teardown.took("the control socket", () => control.close());
  }
  /** Three programs start at the same time: the guard, the transport and, behind it, receive. */
  async #getReady() {
    const { ending: ending2 } = this.#set;
    let mine = { output: nullBuffer, disks: [] };
    let rest = null;
    await allOf(
      [
        this.#standBy().then((made) => {
          mine = made;
        }),
        this.#connect().then((made) => {
          rest = made;
        })
      ],
      () => ending2.abort()
    );
    ending2.signal.throwIfAborted();
    if (rest === null) throw new Error("connected to nothing");
    const ready = { ...rest, ...mine };
    this.#stage = { kind: "ready", ready };
    return ready;
  }
  /** The guard first: what holds the guest's output back is set up only where it watches. */
  async #standBy() {
    await this.#watch.begin();
    this.#set.ending.signal.throwIfAborted();
    const output = await this.#ports.openOutput(this.#session, this.#onNews);
    const leave3 = () => leaveOutput(output, this.#running !== null, this.#onNews);
    this.#teardown.took("the output buffer", leave3);
    const disks = await this.#ports.disks.openPrimary(this.#set.guest.spec, this.#session);
    for (const disk of disks) this.#teardown.took(`disk ${disk.name}`, () => disk.close());
    return { output, disks };
  }
  async #connect() {
    const { log, options, ending: ending2 } = this.#set;
    const { backup: backup2 } = this.#ports;
    const onLine = (line) => log.info(`transport: ${line}`);
    const connection = await backup2.connect(this.#hello, ending2.signal, onLine);
    this.#teardown.took("the connection", () => connection.close("the session is over"));
    const pulse = this.#followPulse(connection.reply.pulse);
    const offered2 = { codecs: codecsOf(options.compression), cacheBytes: this.#hello.cacheBytes };
    const agreed = agreedStream(connection.reply.stream, offered2);
    const encoder = await this.#ports.openEncoder(agreed);
    this.#teardown.took("the encoder", () => encoder.close());
    const budget = memoryBudget(this.#maxMemoryBytes, agreed.cacheBytes);
    return { connection, pulse, encoder, agreed, budget };
  }
  #followPulse(offer) {
    if (offer === null) return null;
    const onHeard = (seq) => this.#running?.onEcho(seq);
    const pulse = this.#ports.backup.followPulse(offer, this.#session, onHeard);
    if (pulse !== null) this.#teardown.took("the pulse", () => pulse.close());
    return pulse;
  }
  async #runSession(ready) {
    const { options, guest, log } = this.#set;
    const { registry, timers } = this.#ports;
    const { link } = ready.connection;
    await link.sendConfig(guestConfig(guest.spec, guest.memoryBytes));
    this.#news.tell("connected", `connected to ${options.host}; the first copy begins`);
    const subject = { uuid: guest.ref.uuid, role: "primary" };
    void supersede(subject, registry, this.#ports, log);
    const session = this.#newSession(ready);
    this.#stage = { kind: "running", ready, session };
    link.listen({
      message: (message) => session.onMessage(message),
      close: (close) => session.onLinkClosed(close.reason),
      progress: () => session.onProgress()
    });
    this.#news.seedBegins();
    const stopShowing = every(timers, seedShownEveryMs, () => this.#showSeed(session));
    const held = new Promise((resolve) => {
      this.#leaveHeld = resolve;
    });
    return Promise.race([session.run(), held]).finally(stopShowing);
  }
  #newSession(ready) {
    const { options, guest, log } = this.#set;
    const { clock, timers, hypervisor, backup: backup2, step } = this.#ports;
    const { pendingMax } = options;
    const schedule = scheduleOf2(options.interval, options.maxOverheadPercent);
    return new PrimarySession({
      ...step === void 0 ? {} : { step },
      clock,
      timers,
      config: { ...this.#timing(), schedule, pendingMax, askEveryMs: askEveryMs2 },
      hypervisor,
      guest: guest.ref,
      link: ready.connection.link,
      encoder: ready.encoder,
      queueBytes: ready.budget.queueBytes,
      output: ready.output,
      disks: ready.disks,
      pulse: ready.pulse,
      askFresh: () => backup2.ask({ ...this.#hello, purpose: "promise" }),
      log,
      onChange: () => this.#changed(),
      onPause: () => this.#status.write()
    });
  }
  #view() {
    const { guest, options } = this.#set;
    const { clock } = this.#ports;
    const { stage } = this.#staged();
    const ready = stage.kind === "beginning" ? null : stage.ready;
    const over = this.#stage.kind === "concluded" ? this.#stage : null;
    return {
      nowMs: clock.nowMs(),
      guest,
      options,
      session: this.#session,
      interfaces: ready?.output.interfaces ?? [],
      running: stage.kind === "running" ? stage.session : null,
      outcome: over?.outcome ?? null,
      guestEnd: over?.guestEnd ?? null,
      codec: ready?.agreed.codec ?? null,
      budget: ready?.budget ?? null
    };
  }
  #changed() {
    this.#status.changed();
    if (this.#running === null || this.#running.state.outcome !== null) return;
    const { state, reason } = primaryFacts(this.#view());
    this.#news.cameTo(state, reason);
  }
  #showSeed(session) {
    if (session.state.phase === "seeding") this.#news.seedMoved(session.moved.rawBytes);
  }
  async #control(request, progress) {
    if (request.verb === "set") return this.#setSchedule(request);
    if (request.verb !== "stop") {
      throw new OperationError("not-built", "this is the primary: it can be stopped or set", {
        op: "answer-control"
      });
    }
    const tell = () => {
      const state = this.#running?.state;
      progress(state?.askNews ?? state?.lost ?? `asking ${this.#set.options.host}`);
    };
    const stopTelling = every(this.#ports.timers, progressEveryMs, tell);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#stop(request.force, "command");
    }).finally(stopTelling);
  }
  #setSchedule(request) {
    const running = this.#running;
    if (running === null) {
      throw new OperationError("command-failed", "the session is only beginning", {
        op: "set-schedule",
        hint: "the same command again in a moment"
      });
    }
    const schedule = changedSchedule(running.state.schedule, request);
    running.setSchedule(schedule);
    const text = `checkpoints ${describeSchedule(schedule)}`;
    this.#news.tell("set", text);
    return { text };
  }
  #stop(force, by) {
    if (this.#running !== null) return this.#running.stop(force, by);
    this.#stoppedBy ??= by;
    this.#set.ending.abort();
  }
  /** First signal: end in order. A second one while held: leave the guest mute and go. */
  #onSignal(by) {
    if (this.#stage.kind === "concluded") return;
    this.#signals += 1;
    if (this.#running === null) return this.#stop(false, by);
    const { phase, lost } = this.#running.state;
    if (phase === "leaving" || phase === "ended") return;
    if (this.#signals > 1) {
      const reason = lost ?? "the backup did not answer";
      void this.#running.abandon().then(() => this.#leaveHeld({ kind: "held", reason }));
      return;
    }
    this.#news.tell("ending", `ending protection in order; the same signal again leaves at once`);
    this.#stop(false, by);
  }
  async #conclude(ended) {
    const { claim, log } = this.#set;
    const { stage } = this.#staged();
    const was = stage.kind === "running" ? stage : null;
    const outcome = heldBack(ended, was?.session.unopened ?? null);
    log.info(`the session is over: ${JSON.stringify(outcome)}`);
    this.#stage = { kind: "concluded", was, outcome, guestEnd: null };
    const guestEnd = outcome.kind === "guest-ended" ? await this.#watch.settle() : null;
    this.#stage = { kind: "concluded", was, outcome, guestEnd };
    this.#status.close();
    const wasSuspended = (was?.session.state.suspended ?? -1) >= 0;
    const unwatched = await this.#watch.end(outcome, guestEnd, wasSuspended);
    if (unwatched !== null) this.#news.tell("unwatched", unwatched);
    for (const resolve of this.#waiting) resolve({ outcome });
    claim.release(outcome.kind === "stopped" ? "forget" : "keep-status");
    return { outcome, detail: guestEnd?.text ?? null };
  }
};

// test/sim/fresh-ask.ts
var FreshAsk = class {
  #world;
  #question;
  #asker;
  #isOver = false;
  constructor(world, question, asker) {
    this.#world = world;
    this.#question = question;
    this.#asker = asker;
  }
  start() {
    const { plan, random } = this.#world;
    this.#world.after(plan.askTimeoutMs, () => this.#giveUp("timed out"));
    if (random.chance(plan.misdirected)) {
      this.#later(2 * plan.delayMsMax, () => this.#deliver({ kind: "unknown" }));
      return;
    }
    this.#connect();
  }
  #later(delayMs, what) {
    this.#world.after(delayMs, () => {
      if (!this.#isOver && this.#asker.isAlive()) what();
    });
  }
  #giveUp(reason) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#asker.failed(reason);
  }
  #connect() {
    const { plan, network, b } = this.#world;
    this.#later(2 * network.delayMs() + plan.delayMsMax, () => {
      if (!network.isWhole || !b.isUp) {
        this.#later(plan.delayMsMax, () => this.#connect());
        return;
      }
      askHostB(this.#world, this.#question).then(
        (answer) => this.#answered(answer),
        (error) => this.#failed(String(error))
      );
    });
  }
  #failed(reason) {
    this.#later(this.#world.network.delayMs(), () => this.#giveUp(`no answer: ${reason}`));
  }
  #answered(answer) {
    this.#later(this.#world.network.delayMs(), () => {
      if (this.#world.network.isCut("ba")) return this.#answered(answer);
      this.#deliver(answer);
    });
  }
  #deliver(answer) {
    this.#isOver = true;
    this.#asker.answered(answer);
  }
};

// test/sim/guest.ts
var Guest = class {
  side;
  isAlive = true;
  isSuspended = false;
  isPaused = false;
  isFrozen = false;
  memory;
  disk;
  constructor(side, memory, disk) {
    this.side = side;
    this.memory = memory;
    this.disk = disk;
  }
  get isRunning() {
    return this.isAlive && !this.isSuspended && !this.isPaused && !this.isFrozen;
  }
  /** One step of work: changes memory and disk, and sends a packet about it. */
  work(epoch, port = 0, bytes = 60) {
    this.memory += 1;
    this.disk += 1;
    return { from: this.side, count: this.memory, epoch, port, bytes };
  }
};

// test/sim/stream.ts
var recordBytes = 48;
function encodeRecord({ epoch, index, count, memory, disk }) {
  const bytes = Buffer.alloc(recordBytes);
  bytes.writeUInt32LE(epoch, 0);
  bytes.writeUInt32LE(index, 4);
  bytes.writeUInt32LE(count, 8);
  bytes.writeDoubleLE(memory, 16);
  bytes.writeDoubleLE(disk, 24);
  return bytes;
}
function decodeRecord(bytes) {
  return {
    epoch: bytes.readUInt32LE(0),
    index: bytes.readUInt32LE(4),
    count: bytes.readUInt32LE(8),
    memory: bytes.readDoubleLE(16),
    disk: bytes.readDoubleLE(24)
  };
}
var Sum = class {
  #sum = 7n;
  #bytes = 0;
  add(bytes) {
    for (const byte of bytes) this.#sum = this.#sum * 31n + BigInt(byte) & 0xffffffffn;
    this.#bytes += bytes.length;
  }
  take() {
    const taken = { checksum: this.#sum, rawBytes: this.#bytes };
    this.#sum = 7n;
    this.#bytes = 0;
    return taken;
  }
};
var noPages = { same: 0, zero: 0, delta: 0, copy: 0 };
function simEncoder() {
  const sum = new Sum();
  return {
    async encode(raw) {
      sum.add(raw);
      return Buffer.from(raw);
    },
    async endEpoch() {
      const { checksum, rawBytes } = sum.take();
      const sizes = { encodedBytes: rawBytes, wireBytes: rawBytes };
      const cache = { cacheState: 0n, cachedPages: 0, evictions: 0 };
      return { checksum, rawBytes, pages: noPages, ...sizes, ...cache };
    },
    close() {
    }
  };
}
function simDecoder(allocate) {
  const sum = new Sum();
  return {
    async decode(wire, onRaw) {
      sum.add(wire);
      const raw = allocate(wire.length);
      wire.copy(raw);
      await onRaw(raw);
    },
    async endEpoch(expected) {
      const { checksum, rawBytes } = sum.take();
      if (checksum === expected.checksum && rawBytes === expected.rawBytes) return;
      throw new OperationError("protocol", "the epoch has another checksum", { op: "decode" });
    },
    close() {
    }
  };
}

// test/sim/restore.ts
var SimRestore = class {
  #hypervisor;
  #process;
  #domain;
  #options;
  #rest = Buffer.alloc(0);
  #position = { bytes: 0, epochs: 0, epochEnd: 0, atBoundary: false };
  /** The last record of each whole epoch, by where it ends. */
  #ends = /* @__PURE__ */ new Map();
  #last = null;
  /** Where the epochs end that count and are not applied yet. */
  #applying = [];
  #isApplying = false;
  #applied = null;
  #isTorn = false;
  #isFinishing = false;
  #isOver = false;
  constructor(hypervisor, process2, domain, options) {
    this.#hypervisor = hypervisor;
    this.#process = process2;
    this.#domain = domain;
    this.#options = options;
    process2.onExit(() => {
      this.#isOver = true;
    });
  }
  get #world() {
    return this.#hypervisor.host.world;
  }
  /** It can still be built from what counts. */
  get isWhole() {
    return !this.#isOver && !this.#isTorn;
  }
  feed(data) {
    if (this.#isOver) throw new OperationError("hypervisor", "the copy is gone", { op: "feed" });
    this.#rest = Buffer.concat([this.#rest, data]);
    let { bytes, epochs, epochEnd } = this.#position;
    while (this.#rest.length >= recordBytes) {
      const record = decodeRecord(this.#rest);
      this.#rest = this.#rest.subarray(recordBytes);
      this.#check(record);
      bytes += recordBytes;
      this.#last = record;
      if (record.index < record.count - 1) continue;
      epochs += 1;
      epochEnd = bytes;
      this.#ends.set(bytes, record);
      if (record.epoch === 0) this.#applied = record;
    }
    const atBoundary = this.#rest.length === 0 && bytes === epochEnd && epochs > 0;
    this.#position = { bytes, epochs, epochEnd, atBoundary };
    return this.#position;
  }
  /** As the library does: record by record. */
  #check({ epoch, index, count }) {
    const last = this.#last;
    const isNext = last !== null && last.index < last.count - 1;
    const wanted = isNext ? { epoch: last.epoch, index: last.index + 1 } : { epoch: last === null ? 0 : last.epoch + 1, index: 0 };
    if (epoch === wanted.epoch && index === wanted.index && index < count) return;
    const text = `record ${epoch}.${index} after ${last?.epoch}.${last?.index}`;
    throw new OperationError("protocol", text, { op: "feed" });
  }
  apply(epochEnd) {
    this.#process.call("apply", () => {
      const record = this.#ends.get(epochEnd);
      this.#world.checker.feeds(record?.epoch ?? Number.NaN);
      this.#applying.push(epochEnd);
      this.#applyNext();
    });
  }
  #applyNext() {
    const end = this.#applying[0];
    if (end === void 0 || this.#isApplying || this.#isOver) return;
    this.#isApplying = true;
    this.#process.later(this.#world.plan.applyMs, () => {
      this.#isApplying = false;
      this.#applying.shift();
      if (this.#isOver) return;
      const record = this.#ends.get(end);
      if (this.#hypervisor.appliesLeftToFail > 0) {
        this.#hypervisor.appliesLeftToFail -= 1;
        return this.#fail(`epoch ${record?.epoch} cannot be applied`);
      }
      if (record === void 0) this.#isTorn = true;
      else this.#applied = record;
      this.#options.onEvent({ kind: "fed", bytes: end });
      if (this.#isFinishing && this.#applying.length === 0) this.#build();
      else this.#applyNext();
    });
  }
  finish() {
    this.#process.call("finish", () => {
      this.#isFinishing = true;
      if (this.#applying.length === 0) this.#build();
    });
  }
  #build() {
    this.#process.later(this.#world.plan.buildMs, () => {
      if (this.#isOver) return;
      if (this.#hypervisor.buildsLeftToFail > 0) {
        this.#hypervisor.buildsLeftToFail -= 1;
        return this.#fail("libxl cannot build the domain");
      }
      this.#isOver = true;
      const { memory, epoch } = this.#applied ?? { memory: -1, epoch: -1 };
      const guest = new Guest("b", memory, -1);
      guest.isPaused = true;
      this.#domain.guest = guest;
      this.#world.built(this.#domain, { epoch, memory, isTorn: this.#isTorn });
      this.#options.onEvent({ kind: "built", copy: this.#domain.ref });
    });
  }
  #fail(reason) {
    this.#isOver = true;
    this.#hypervisor.remove(this.#domain);
    this.#options.onEvent({ kind: "failed", reason });
  }
  discard() {
    this.#process.call("discard", () => {
      this.#process.later(this.#world.plan.buildMs / 4, () => {
        if (this.#isOver) return;
        this.#isOver = true;
        this.#hypervisor.remove(this.#domain);
        this.#options.onEvent({ kind: "discarded" });
      });
    });
  }
};

// test/sim/save.ts
var SimSave = class {
  #hypervisor;
  #process;
  #domain;
  #options;
  #pending = Buffer.alloc(0);
  /** Bytes of the running epoch that were put into the stream. */
  #epochBytes = 0;
  /** Offsets in the whole stream where epochs end, those that were not read past. */
  #ends = [];
  #written = 0;
  #read = 0;
  #isBusy = true;
  /** The guest was asked to suspend, or is suspended. */
  #isSuspending = false;
  #isOver = false;
  #isAborted = false;
  /**
   * It ends so, as soon as a guest that was asked to suspend has done it: only then is it resumed.
   */
  #ending = null;
  /** The epoch whose barrier comes next. */
  #epoch = 0;
  constructor(hypervisor, process2, domain, options) {
    this.#hypervisor = hypervisor;
    this.#process = process2;
    this.#domain = domain;
    this.#options = options;
    process2.onExit(() => {
      this.#isOver = true;
    });
    this.#seed(0);
  }
  get #world() {
    return this.#hypervisor.host.world;
  }
  get isOver() {
    return this.#isOver;
  }
  /** The epoch that the guest is in: what it sends now belongs to it. */
  get epoch() {
    return this.#epoch;
  }
  #later(delayMs, what) {
    this.#process.later(delayMs, () => {
      if (!this.#isOver && this.#domain.end === null) what();
    });
  }
  /** The seed streams while the guest runs; its last piece only comes after the barrier. */
  #seed(index) {
    const { plan } = this.#world;
    this.#later(plan.chunkMs, () => {
      if (index === plan.seedChunks - 1) return this.#suspend();
      this.#write(index, plan.seedChunks, 0, 0);
      this.#seed(index + 1);
    });
  }
  #write(index, count, memory, disk) {
    const record = encodeRecord({ epoch: this.#epoch, index, count, memory, disk });
    this.#pending = Buffer.concat([this.#pending, record]);
    this.#written += recordBytes;
    this.#epochBytes += recordBytes;
    this.#options.onEvent({ kind: "data" });
  }
  checkpoint() {
    if (this.#isBusy || this.#isOver) return false;
    this.#process.call("checkpoint", () => {
      this.#world.checker.acted("checkpoint");
      if (this.#isOver) return;
      this.#isBusy = true;
      this.#suspend();
    });
    return true;
  }
  /** Asks the guest, and waits for it. */
  #suspend() {
    const { plan, random } = this.#world;
    const { guest } = this.#domain;
    this.#isSuspending = true;
    const ask = () => {
      this.#world.after(plan.suspendMs * random.between(0.5, 1.5), () => {
        if (guest === null || this.#domain.end !== null) return;
        if (guest.isPaused) return ask();
        guest.isSuspended = true;
        this.#process.run(() => {
          if (this.#isOver) return;
          if (this.#ending !== null) this.#end(this.#ending);
          else this.#suspended();
        });
      });
    };
    this.#process.call("suspend", ask);
  }
  #suspended() {
    const { plan, random, checker, machines } = this.#world;
    const { guest } = this.#domain;
    if (guest === null) return;
    const epoch = this.#epoch;
    const setBarriers = () => {
      for (const barrier of this.#options.barriers) this.#world.barrier(barrier, epoch, guest);
    };
    if (machines.barrierAt === "suspended") setBarriers();
    checker.barrier(epoch, guest.memory, guest.disk);
    const { memory, disk } = guest;
    this.#options.onEvent({ kind: "checkpoint", epoch });
    const count = epoch === 0 ? plan.seedChunks : plan.epochChunks;
    const first = epoch === 0 ? count - 1 : 0;
    for (let index = first; index < count; index += 1) this.#write(index, count, memory, disk);
    this.#later(plan.drainMs * random.between(0.5, 1.5), () => {
      guest.isSuspended = false;
      this.#isSuspending = false;
      this.#epoch = epoch + 1;
      if (machines.barrierAt === "resumed") this.#world.after(plan.packetMs, setBarriers);
      this.#ends.push(this.#written);
      const bytes = this.#epochBytes;
      this.#epochBytes = 0;
      this.#isBusy = false;
      const figures = { pages: plan.epochPages, pauseMs: plan.drainMs, stalledMs: 0 };
      this.#options.onEvent({ kind: "epoch-end", epoch, bytes, ...figures });
    });
  }
  read(out) {
    const end = this.#ends[0] ?? this.#written;
    const count = Math.min(out.length, end - this.#read, this.#pending.length);
    this.#pending.copy(out, 0, 0, count);
    this.#pending = this.#pending.subarray(count);
    this.#read += count;
    if (this.#read === this.#ends[0]) this.#ends.shift();
    return count;
  }
  abort() {
    if (this.#isAborted) return;
    this.#isAborted = true;
    const { plan, random } = this.#world;
    this.#process.call("abort", () => {
      this.#process.later(plan.abortMs * random.next(), () => this.#endSoon({ kind: "aborted" }));
    });
  }
  /** libxl gives up by itself. */
  fail() {
    this.#process.run(() => this.#endSoon({ kind: "failed", reason: "libxl gave up" }));
  }
  #endSoon(end) {
    const isHere = !this.#isSuspending || this.#domain.guest?.isSuspended === true;
    if (isHere) this.#end(end);
    else this.#ending = end;
  }
  guestEnded() {
    const end = { kind: "guest-ended", reason: "poweroff" };
    this.#process.later(this.#world.plan.delayMsMin, () => this.#end(end));
  }
  #end(end) {
    if (this.#isOver) return;
    this.#isOver = true;
    const { guest } = this.#domain;
    if (guest !== null) guest.isSuspended = false;
    this.#options.onEvent({ kind: "ended", end });
  }
};

// test/sim/hypervisor.ts
var guestName = "g1";
var guestUuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
var guestMemoryBytes = 64 * 1024 ** 2;
function simSpec(name = guestName) {
  return {
    hypervisor: "sim",
    name,
    uuid: guestUuid,
    memoryBytes: guestMemoryBytes,
    interfaces: [{ index: 0, mac: null, ips: [] }],
    writableDisks: ["xvda"],
    refusals: [],
    onEnd: {
      poweroff: "destroy",
      reboot: "restart",
      crash: "destroy",
      watchdog: "destroy",
      "soft-reset": "keep (soft-reset)"
    },
    config: Buffer.from(name)
  };
}
var SimHypervisor = class {
  host;
  #domains = /* @__PURE__ */ new Map();
  #nextId = 1;
  #saves = /* @__PURE__ */ new Set();
  restores = /* @__PURE__ */ new Set();
  appliesLeftToFail = 0;
  buildsLeftToFail = 0;
  unpausesLeftToFail = 0;
  destroysLeftToFail = 0;
  constructor(host) {
    this.host = host;
  }
  get domains() {
    return [...this.#domains.values()];
  }
  /** The save that runs here. */
  get save() {
    return [...this.#saves].at(-1) ?? null;
  }
  named(name) {
    return this.domains.find((domain) => domain.name === name);
  }
  domainOf(ref) {
    const domain = this.#domains.get(ref.id);
    return domain?.ref.uuid === ref.uuid ? domain : void 0;
  }
  add(name, guest, pauses = 0) {
    const ref = { uuid: guestUuid, id: this.#nextId };
    this.#nextId += 1;
    const domain = { ref, name, guest, pauses, end: null };
    this.#domains.set(ref.id, domain);
    return domain;
  }
  /** The guest ends by itself. */
  endGuest(domain) {
    domain.end = "poweroff";
    if (domain.guest !== null) domain.guest.isAlive = false;
    for (const save of this.#saves) save.guestEnded();
  }
  remove(domain) {
    this.#domains.delete(domain.ref.id);
    if (domain.guest !== null) domain.guest.isAlive = false;
  }
  /** The host went down, and its guests with it. */
  crash() {
    for (const domain of this.domains) this.remove(domain);
  }
  setPauses(domain, pauses) {
    domain.pauses = pauses;
    if (domain.guest !== null) domain.guest.isPaused = pauses > 0;
  }
  #info(domain) {
    const isSuspended = domain.guest?.isSuspended === true;
    return {
      ref: domain.ref,
      paused: domain.pauses > 0,
      state: domain.end !== null ? "ended" : isSuspended ? "suspended" : "here",
      end: domain.end,
      memoryBytes: guestMemoryBytes
    };
  }
  #must(ref, op) {
    const domain = this.domainOf(ref);
    if (domain !== void 0) return domain;
    throw new OperationError("hypervisor", `cannot ${op} domain ${ref.id}: it is gone`, { op });
  }
  #unpause(ref) {
    if (this.unpausesLeftToFail > 0) {
      this.unpausesLeftToFail -= 1;
      throw new OperationError("hypervisor", "cannot unpause", { op: "unpause" });
    }
    const domain = this.#must(ref, "unpause");
    this.setPauses(domain, Math.max(0, domain.pauses - 1));
    this.host.world.unpaused(this.host.side, domain);
  }
  #destroy(ref) {
    if (this.destroysLeftToFail > 0) {
      this.destroysLeftToFail -= 1;
      throw new OperationError("hypervisor", "cannot destroy", { op: "destroy" });
    }
    const domain = this.domainOf(ref);
    if (domain === void 0) return;
    this.host.world.destroying(this.host.side, domain);
    this.remove(domain);
  }
  /** As `process` reaches it. */
  portFor(process2) {
    const { plan } = this.host.world;
    const quickMs = plan.delayMsMin;
    return {
      find: (name) => process2.perform("find", quickMs, () => this.named(name)?.ref ?? null),
      numbered: (id) => process2.perform("numbered", quickMs, () => this.#domains.get(id)?.ref ?? null),
      info: (ref) => process2.perform("info", quickMs, () => {
        const domain = this.domainOf(ref);
        return domain === void 0 ? null : this.#info(domain);
      }),
      spec: (ref) => process2.perform("spec", quickMs, () => simSpec(this.#must(ref, "look at").name)),
      readSpec: (config) => simSpec(config.toString()),
      host: () => process2.perform("host", quickMs, () => ({ version: "sim", freeMemoryBytes: 1024 ** 4 })),
      pause: (ref) => process2.call("pause", () => {
        const domain = this.#must(ref, "pause");
        this.setPauses(domain, domain.pauses + 1);
      }),
      unpause: (ref) => process2.perform("unpause", quickMs, () => this.#unpause(ref)),
      resume: (ref) => process2.perform("resume", quickMs, () => {
        const { guest } = this.#must(ref, "resume");
        if (guest !== null) guest.isSuspended = false;
      }),
      rename: (ref, _from, to) => process2.perform("rename", quickMs, () => {
        this.#must(ref, "rename").name = to;
      }),
      destroy: (ref) => process2.perform("destroy", plan.buildMs / 4, () => this.#destroy(ref)),
      boot: (spec) => process2.perform("boot", plan.buildMs, () => {
        return this.add(spec.name, new Guest(this.host.side, 0, 0), 1).ref;
      }),
      startSave: (ref, options) => {
        const save = new SimSave(this, process2, this.#must(ref, "save"), options);
        this.#saves.add(save);
        return save;
      },
      startRestore: (spec, options) => {
        const domain = this.add(waitingName(spec.name), null, 1);
        const restore = new SimRestore(this, process2, domain, options);
        this.restores.add(restore);
        return restore;
      },
      otherWatcher: () => null
    };
  }
};

// test/sim/link.ts
var otherSide = (side) => side === "a" ? "b" : "a";
var directionFrom = (side) => side === "a" ? "ab" : "ba";
var Network = class {
  timeline;
  delayMsMin;
  delayMsMax;
  #cuts = { ab: 0, ba: 0 };
  #resumeAtMs = { ab: 0, ba: 0 };
  #frozen = { a: false, b: false };
  #frozenFromMs = { a: 0, b: 0 };
  /** When something reached this host last; while it stands still, no time passes. */
  reachedAtMs = { a: 0, b: 0 };
  #healed = [];
  constructor(timeline, delayMsMin, delayMsMax) {
    this.timeline = timeline;
    this.delayMsMin = delayMsMin;
    this.delayMsMax = delayMsMax;
  }
  delayMs() {
    return this.timeline.random.between(this.delayMsMin, this.delayMsMax);
  }
  isCut(direction) {
    return this.#cuts[direction] > 0;
  }
  /** Nothing is delivered: the network is cut, or the receiving host stands still. */
  isBlocked(direction) {
    return this.isCut(direction) || this.#frozen[direction === "ab" ? "b" : "a"];
  }
  get isWhole() {
    return !this.isBlocked("ab") && !this.isBlocked("ba");
  }
  /** A host stands still, its kernel too. */
  freeze(side) {
    if (this.#frozen[side]) return;
    this.#frozen[side] = true;
    this.#frozenFromMs[side] = this.timeline.nowMs;
  }
  thaw(side) {
    if (!this.#frozen[side]) return;
    this.#frozen[side] = false;
    this.reachedAtMs[side] += this.timeline.nowMs - this.#frozenFromMs[side];
    this.#resume(directionFrom(otherSide(side)));
  }
  /** Cuts may overlap; the direction is open again when all of them have healed. */
  cut(direction) {
    this.#cuts[direction] += 1;
  }
  heal(direction) {
    if (this.#cuts[direction] === 0) return;
    this.#cuts[direction] -= 1;
    if (this.isCut(direction)) return;
    this.#resume(direction);
  }
  /** The sender finds out at its next retransmission. */
  #resume(direction) {
    const waitMs = this.timeline.random.between(0, 5 * this.delayMsMax);
    this.#resumeAtMs[direction] = this.timeline.nowMs + waitMs;
    for (const wake of this.#healed) wake();
  }
  healAll() {
    for (const direction of ["ab", "ba"]) {
      while (this.isCut(direction)) this.heal(direction);
    }
  }
  resumeAtMs(direction) {
    return this.#resumeAtMs[direction];
  }
  onHeal(wake) {
    this.#healed.push(wake);
  }
};
var Connection = class {
  #network;
  #ends;
  #queues = { ab: [], ba: [] };
  #isOpen = { a: true, b: true };
  /** The host crashed; after its reboot the connection is unknown there. */
  #crashed = { a: false, b: false };
  #isUp;
  constructor(network, ends, isUp) {
    this.#network = network;
    this.#ends = ends;
    this.#isUp = isUp;
    network.onHeal(() => {
      this.#wake("ab");
      this.#wake("ba");
    });
  }
  isOpen(side) {
    return this.#isOpen[side];
  }
  /** Messages of one side that were not delivered yet. */
  backlog(from) {
    return this.#queues[directionFrom(from)].length;
  }
  send(from, message) {
    if (!this.#isOpen[from]) return;
    const to = otherSide(from);
    if (this.#crashed[to] && this.#isUp(to)) {
      this.#resetFromReboot(from);
      return;
    }
    this.#enqueue(directionFrom(from), message);
  }
  /** FIN: what was sent before still arrives. The closing side hears nothing more. */
  close(from) {
    if (!this.#isOpen[from]) return;
    this.#isOpen[from] = false;
    this.#enqueue(directionFrom(from), null);
  }
  /** RST from this side (a killed process with unread input): a tail of the stream is lost. */
  abort(from) {
    const queue = this.#queues[directionFrom(from)];
    queue.length = this.#network.timeline.random.int(0, queue.length);
    this.close(from);
  }
  /** Something in between resets the connection; each side hears of it, or not. */
  reset(sides, reason) {
    for (const side of sides) {
      this.#network.timeline.after(this.#network.delayMs(), () => this.#closed(side, reason));
    }
  }
  /** The process of this side is gone: its kernel says so, with what was sent before or not. */
  processDied(side) {
    if (this.#network.timeline.random.chance(0.5)) this.close(side);
    else this.abort(side);
  }
  /** The host of this side crashed: no FIN, nothing. */
  crash(side) {
    this.#isOpen[side] = false;
    this.#crashed[side] = true;
    this.#queues[directionFrom(side)].length = 0;
  }
  #resetFromReboot(to) {
    const network = this.#network;
    network.timeline.after(2 * network.delayMs(), () => {
      if (network.isWhole) this.#closed(to, "connection reset by a rebooted peer");
    });
  }
  #enqueue(direction, message) {
    const queue = this.#queues[direction];
    const sentMs = this.#network.timeline.nowMs + this.#network.delayMs();
    const atMs = Math.max(sentMs, queue.at(-1)?.atMs ?? 0);
    queue.push({ atMs, message });
    if (queue.length === 1) this.#wake(direction);
  }
  #wake(direction) {
    const head = this.#queues[direction][0];
    if (head === void 0 || this.#network.isBlocked(direction)) return;
    const { timeline } = this.#network;
    const dueMs = Math.max(head.atMs, this.#network.resumeAtMs(direction));
    timeline.after(Math.max(0, dueMs - timeline.nowMs), () => this.#deliver(direction, head));
  }
  #deliver(direction, item) {
    const queue = this.#queues[direction];
    if (queue[0] !== item || this.#network.isBlocked(direction)) return;
    if (this.#network.timeline.nowMs < this.#network.resumeAtMs(direction)) {
      this.#wake(direction);
      return;
    }
    queue.shift();
    const to = direction === "ab" ? "b" : "a";
    this.#network.reachedAtMs[to] = this.#network.timeline.nowMs;
    if (this.#isOpen[to]) {
      if (item.message === null) this.#closed(to, "end of stream");
      else this.#ends[to].onMessage(item.message);
    }
    this.#wake(direction);
  }
  #closed(side, reason) {
    if (!this.#isOpen[side]) return;
    this.#isOpen[side] = false;
    this.#queues[directionFrom(side)].length = 0;
    this.#ends[side].onClosed(reason);
    this.#enqueue(directionFrom(side), null);
  }
};

// test/sim/output-port.ts
var outputBarrier = 1;
function outputPort(buffer, process2) {
  const { world } = process2.host;
  const { plan } = world;
  let listener = () => {
  };
  let isClosed = false;
  const held = () => ({ dropped: 0, ...buffer.look() });
  const look2 = () => {
    if (!isClosed) listener(held());
  };
  const lookLater = () => {
    process2.later(plan.packetMs, () => {
      if (isClosed) return;
      look2();
      lookLater();
    });
  };
  const end = (what, work2) => process2.perform(what, plan.delayMsMin, () => {
    if (world.outputEndsLeftToFail > 0) {
      world.outputEndsLeftToFail -= 1;
      throw new OperationError("no-buffer", "the kernel refuses", { op: what });
    }
    isClosed = true;
    work2();
  });
  return {
    get interfaces() {
      return buffer.interfaces.map(({ port, state }, at) => ({
        name: `vif1.${at}`,
        state,
        packets: port.held.length,
        bytes: port.heldBytes,
        dropped: port.drops,
        nearLimit: false
      }));
    },
    barrier: outputBarrier,
    release(epoch) {
      const decidedMs2 = process2.host.nowMs();
      process2.call("release", () => {
        world.checker.acted("release");
        world.checker.releases(epoch, decidedMs2);
        buffer.release(epoch);
        world.checker.released(epoch);
        process2.later(0, look2);
      });
    },
    open: () => end("open-buffer", () => {
      world.openBuffer();
    }),
    drop: () => end("drop-buffer", () => buffer.drop()),
    look: () => process2.later(0, look2),
    held,
    listen(to) {
      listener = to;
      lookLater();
    },
    close() {
      isClosed = true;
    }
  };
}

// test/sim/pulse.ts
var noCounters = { sent: 0, received: 0, foreign: 0, stale: 0, sendErrors: 0 };
var SimPulse = class {
  #process;
  #side;
  #onHeard;
  peer = null;
  newest = -1;
  counters = noCounters;
  #isClosed = false;
  constructor(process2, side, onHeard) {
    this.#process = process2;
    this.#side = side;
    this.#onHeard = onHeard;
  }
  send(seq) {
    const { world } = this.#process.host;
    const { network, plan, random } = world;
    this.#process.call("datagram", () => {
      const kind = this.#side === "a" ? "heartbeat" : "echo";
      if (this.#side === "a") world.sending("a", { kind, seq });
      if (this.#isClosed || random.chance(plan.datagramLoss)) return;
      const direction = this.#side === "a" ? "ab" : "ba";
      world.after(network.delayMs(), () => {
        if (network.isBlocked(direction)) return;
        network.reachedAtMs[otherSide(this.#side)] = world.nowMs;
        this.peer?.heard(seq);
      });
    });
  }
  heard(seq) {
    this.#process.run(() => {
      if (this.#isClosed || seq <= this.newest) return;
      this.newest = seq;
      if (this.#side === "a") this.#process.host.world.arrived("a", { kind: "echo", seq });
      this.#onHeard(seq);
    });
  }
  close() {
    this.#isClosed = true;
  }
};
function offered(pulse) {
  return { pulse, offer: { address: "192.0.2.2", port: 7, key: "0".repeat(64) } };
}

// test/sim/wire.ts
var chunkBytes = 96;
var windowBytes = 4 * chunkBytes;
var SimLink = class {
  #process;
  #side;
  #connection = null;
  #handlers = null;
  #inbox = [];
  #close = null;
  #isCloseTold = false;
  #data = [];
  #sentBytes = 0;
  #creditedBytes = 0;
  #epochBytes = 0;
  #consumedBytes = 0;
  #isCreditDue = false;
  #received = 0;
  /** Backup: nothing of an epoch is taken any more; or nothing at all moves, both ways. */
  #hung = null;
  #stuckIn = [];
  #stuckOut = [];
  /** The next piece of data arrives damaged. */
  damages = false;
  constructor(process2, side) {
    this.#process = process2;
    this.#side = side;
    process2.onExit(() => {
      if (this.#close === null) this.#connection?.processDied(side);
    });
  }
  open(connection) {
    this.#connection = connection;
  }
  get counters() {
    return {
      bytesSent: this.#sentBytes,
      bytesReceived: this.#received,
      framesSent: 0,
      framesReceived: 0,
      dataBytesReceived: this.#received,
      inFlightBytes: this.#sentBytes - this.#creditedBytes,
      windowBytes
    };
  }
  get isHung() {
    return this.#hung !== null;
  }
  hang(isStream) {
    this.#hung = isStream ? "stream" : "epochs";
  }
  heal() {
    if (this.#hung === null) return;
    this.#hung = null;
    for (const message of this.#stuckIn.splice(0)) this.onMessage(message);
    for (const message of this.#stuckOut.splice(0)) this.#connection?.send(this.#side, message);
  }
  listen(handlers) {
    this.#handlers = handlers;
    this.#deliver();
  }
  send(message) {
    if (this.#close !== null) return false;
    this.#transmit(message);
    return true;
  }
  #transmit(message) {
    this.#process.call(`send ${message.kind}`, () => {
      this.#process.host.world.sending(this.#side, message);
      if (this.#hung === "stream") this.#stuckOut.push(message);
      else this.#connection?.send(this.#side, message);
    });
  }
  sendConfig(config) {
    return this.#queue((settle) => [{ kind: "message", message: config, settle }]);
  }
  sendData(epoch, bytes) {
    return this.#queue((settle) => {
      const items = [];
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        const chunk = Buffer.from(bytes.subarray(at, at + chunkBytes));
        if (this.damages) {
          chunk[0] = (chunk[0] ?? 0) ^ 255;
          this.#process.host.world.damaged(epoch);
        }
        this.damages = false;
        const isLast = at + chunkBytes >= bytes.length;
        const message = { kind: "data", epoch, chunk };
        items.push({ kind: "message", message, settle: isLast ? settle : () => {
        } });
      }
      return items;
    });
  }
  endEpoch(epoch, pages, digest) {
    return this.#queue((settle) => [
      {
        kind: "end",
        make: () => ({ kind: "epoch-end", epoch, bytes: this.#epochBytes, pages, digest }),
        settle
      }
    ]);
  }
  #queue(items) {
    if (this.#close !== null) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#data.push(...items(() => resolve(this.#close === null)));
      this.#pump();
    });
  }
  #pump() {
    for (let item = this.#data[0]; item !== void 0; item = this.#data[0]) {
      if (this.#close !== null) return;
      if (this.#sentBytes - this.#creditedBytes >= windowBytes) return;
      this.#data.shift();
      const message = item.kind === "end" ? item.make() : item.message;
      if (message.kind === "data") {
        this.#sentBytes += message.chunk.length;
        this.#epochBytes += message.chunk.length;
      } else if (message.kind === "epoch-end") this.#epochBytes = 0;
      this.#transmit(message);
      const { settle } = item;
      this.#process.later(this.#process.host.world.plan.chunkMs, settle);
    }
  }
  consumed(bytes) {
    this.#consumedBytes += bytes;
    if (this.#isCreditDue) return;
    this.#isCreditDue = true;
    this.#process.later(0, () => {
      this.#isCreditDue = false;
      this.send({ kind: "credit", bytes: this.#consumedBytes });
    });
  }
  fail(error) {
    if (this.#close !== null) return;
    const { code, message: text, hint = null } = error;
    this.#finish({ kind: "protocol", reason: text, error }, { kind: "error", code, text, hint });
  }
  async close(reason) {
    this.#finish({ kind: "local", reason, error: null }, { kind: "goodbye", reason });
    await new Promise((resolve) => {
      this.#process.later(this.#process.host.world.plan.delayMsMax, resolve);
    });
  }
  #finish(close, last) {
    if (this.#close !== null) return;
    this.#process.host.world.linkEnds(this.#side);
    if (last !== null) this.#transmit(last);
    this.#close = close;
    this.#data.length = 0;
    this.#process.call("close", () => this.#connection?.close(this.#side));
    this.#deliver();
  }
  onMessage(message) {
    const isStuck2 = this.#hung === "stream" || this.#hung !== null && /^(data|epoch-end)$/.test(message.kind);
    if (isStuck2) {
      this.#stuckIn.push(message);
      return;
    }
    this.#process.run(() => {
      if (this.#close !== null) return;
      this.#process.host.world.arrived(this.#side, message);
      this.#inbox.push(message);
      this.#deliver();
    });
  }
  onClosed(reason) {
    this.#process.run(() => {
      this.#finish({ kind: "eof", reason, error: null }, null);
    });
  }
  /** While somebody listens: what came, then the end. */
  #deliver() {
    while (this.#handlers !== null && this.#close === null) {
      const message = this.#inbox.shift();
      if (message === void 0) return;
      this.#take(message, this.#handlers);
    }
    if (this.#close === null || this.#handlers === null || this.#isCloseTold) return;
    this.#isCloseTold = true;
    this.#handlers.close(this.#close);
  }
  #take(message, handlers) {
    handlers.bytes?.(1);
    if (message.kind === "credit") {
      this.#creditedBytes = message.bytes;
      this.#pump();
      handlers.progress?.();
      return;
    }
    if (message.kind === "data") this.#received += message.chunk.length;
    try {
      handlers.message(message);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.fail(error);
    }
  }
};

// test/sim/programs.ts
var mebibyte = 1024 ** 2;
var helloTimeoutMs = 1e4;
function optionsOf({ plan }) {
  const { config } = plan;
  const { schedule } = config;
  return {
    domain: guestName,
    host: "hostb",
    interval: schedule.kind === "fixed" ? schedule.intervalMs : "auto",
    maxOverheadPercent: schedule.kind === "auto" ? 100 * schedule.maxOverhead : 20,
    pendingMax: config.pendingMax,
    maxMemoryBytes: 256 * mebibyte,
    heartbeatTimeoutMs: config.heartbeatTimeoutMs,
    holdMs: config.holdMs,
    sshCommand: null,
    compression: true,
    wait: true,
    network: config.buffered,
    netbufScript: null,
    bufferLimitBytes: 64 * mebibyte,
    disk: false,
    forceUnsafe: !config.buffered
  };
}
function askHostB(world, status) {
  const process2 = world.b.start("tsremus receive (question)");
  return answerAsk(status, answerPortsOf(world.b, process2)).then((answer) => {
    world.checker.answered(answer.kind);
    return answer;
  }).finally(() => process2.exit());
}
function answerPortsOf(host, process2) {
  const ports = host.portsOf(process2);
  const hypervisor = host.hypervisor.portFor(process2);
  return {
    registry: host.registry.portFor(process2),
    hypervisor: async () => hypervisor,
    record: (uuid, session) => openRecord(ports.settings.stateDirectory, uuid, session, ports)
  };
}
function startGuard(host, parent) {
  return (guarded) => {
    const process2 = host.start("tsremus guard");
    const { world } = host;
    let farewell = { kind: "none" };
    let isGone = false;
    let watching = (_does) => {
    };
    const after = () => {
      if (isGone) return;
      isGone = true;
      process2.run(() => {
        const ports = guardPorts(host, process2);
        guardAfter(ports, guarded, farewell, () => watching(true)).catch(() => {
        }).finally(() => {
          watching(false);
          process2.exit();
        });
      });
    };
    process2.onExit(() => watching(false));
    parent.onExit(() => world.after(0, after));
    const ready = new Promise((resolve) => parent.later(world.plan.delayMsMin, resolve));
    const guard = {
      ready,
      done() {
        parent.call("farewell", () => {
          farewell = { kind: "done" };
          after();
        });
      },
      watch: ({ id }) => new Promise((resolve) => {
        if (!process2.isAlive) return resolve(false);
        watching = (does) => parent.later(0, () => resolve(does));
        parent.call("farewell", () => {
          farewell = { kind: "watch", id };
          after();
        });
      })
    };
    return guard;
  };
}
function guardPorts(host, process2) {
  const recovery = recoveryOf(host, process2);
  const leftovers = {
    of: async ({ ref, session }) => leftOnA(host, ref.uuid, session),
    settle: (status, order) => recovery.settle(status, order)
  };
  let isStopped = false;
  process2.onTerm(() => {
    isStopped = true;
  });
  return {
    ...host.portsOf(process2),
    registry: host.registry.portFor(process2),
    hypervisor: host.hypervisor.portFor(process2),
    leftovers,
    isStopped: () => isStopped
  };
}
function leftOnA(host, uuid, session) {
  const left = host.registry.entries().find(({ status, liveness }) => {
    if (status.role !== "primary" || liveness === "alive" || isSettled(status)) return false;
    return status.uuid === uuid && status.session === session;
  });
  return left?.status ?? null;
}
function askFromA(world, process2, question) {
  return new Promise((resolve, reject) => {
    process2.call("ask", () => {
      new FreshAsk(world, question, {
        isAlive: () => process2.isAlive,
        answered: (answer) => process2.run(() => resolve(answer)),
        failed: (reason) => process2.run(() => {
          reject(new OperationError("peer-unreachable", reason, { op: "ask" }));
        })
      }).start();
    });
  });
}
function recoveryOf(host, process2) {
  const { world } = host;
  const registry = host.registry.portFor(process2);
  const hypervisor = host.hypervisor.portFor(process2);
  return new Recovery({
    hypervisor: async () => hypervisor,
    registry,
    listAll: async () => registry.sessions(),
    leftOutput: async () => {
      const { buffer } = world;
      return buffer === null ? nullBuffer : outputPort(buffer, process2);
    },
    askBackup: (status) => world.machines.askBackup(() => askFromA(world, process2, status), status),
    answerHere: (status) => askHostB(world, status),
    noteMayOpen: async () => {
    },
    startGuard: startGuard(host, process2)
  });
}
function statusOn({ a, b }, side) {
  const host = side === "a" ? a : b;
  const role = side === "a" ? "primary" : "backup";
  const entry = host.registry.entries().find(({ status }) => status.role === role);
  if (entry === void 0) return { level: "unknown", state: "ended" };
  const ageMs = Math.max(0, host.wallMs() - Date.parse(entry.status.updated));
  return judge(entry.status, entry.liveness, ageMs);
}
async function stopLeft(world, force) {
  const { a } = world;
  const process2 = a.start("tsremus stop");
  try {
    const left = a.registry.entries().find(({ status, liveness }) => {
      return status.role === "primary" && liveness !== "alive" && !isSettled(status);
    });
    if (left === void 0) return "nothing left";
    const result = await recoveryOf(a, process2).stop(left.status, { force, destroy: false });
    return result.outcome.kind;
  } finally {
    process2.exit();
  }
}
async function protect(world, process2) {
  const { a, machines } = world;
  const ports = a.portsOf(process2);
  const registry = a.registry.portFor(process2);
  const hypervisor = a.hypervisor.portFor(process2);
  const options = optionsOf(world);
  const guest = await inspectGuest(hypervisor, guestName, options);
  const subject = { uuid: guest.ref.uuid, domain: guest.name, role: "primary" };
  const claim = await registry.claimSession(subject);
  refuseUnsettled(claim, guest);
  const signals = [];
  process2.onTerm(() => {
    for (const hear of signals) hear("sigterm");
  });
  const session = {
    ...ports,
    registry,
    hypervisor,
    step: machines.stepPrimary,
    backup: {
      connect: (hello, signal) => connect(world, process2, hello, signal),
      ask: (hello) => askFromA(world, process2, hello),
      followPulse: (_offer, _session, onHeard) => {
        const pulse = new SimPulse(process2, "a", onHeard);
        if (world.pulseOfB !== null) {
          pulse.peer = world.pulseOfB;
          world.pulseOfB.peer = pulse;
        }
        return pulse;
      }
    },
    startGuard: startGuard(a, process2),
    openOutput: async () => {
      const { buffer } = world;
      return buffer === null ? nullBuffer : outputPort(buffer, process2);
    },
    openEncoder: async () => simEncoder(),
    disks: {
      openPrimary: async () => {
        const disk = new SimPrimaryDisk(process2);
        world.openDiskOfA(disk);
        return [disk];
      },
      openBackup: async () => []
    },
    onEndSignals: (hear) => signals.push(hear)
  };
  const reporter = { seedProgress() {
  }, event() {
  } };
  const log = ports.openLog("protect");
  const set = { options, reporter, guest, claim, log, ending: new AbortController() };
  const protection = new Protection(session, set);
  world.protection = protection;
  try {
    const { outcome } = await protection.run();
    return outcome.kind;
  } finally {
    claim.release("as-before");
  }
}
function connect(world, process2, content, signal) {
  const { network, b } = world;
  return new Promise((resolve, reject) => {
    const fail = (error) => process2.run(() => reject(error));
    process2.later(helloTimeoutMs, () => refuse("hostb does not answer"));
    signal.addEventListener("abort", () => fail(new Error("aborted")));
    const refuse = (text) => {
      fail(new OperationError("peer-unreachable", text, { op: "connect" }));
    };
    process2.call("connect", () => {
      world.after(network.delayMs() * 2, () => {
        if (!network.isWhole || !b.isUp) return refuse("no route to hostb");
        const hello = { kind: "hello", protocol: protocolVersion, ...content };
        receive(world, hello).then(
          ({ reply, link }) => world.after(network.delayMs(), () => accept(reply, link)),
          (error) => world.after(network.delayMs(), () => fail(error))
        );
      });
    });
    const accept = (reply, far) => {
      const link = new SimLink(process2, "a");
      const connection = new Connection(
        network,
        { a: link, b: far },
        (side) => side === "a" ? world.a.isUp : world.b.isUp
      );
      far.open(connection);
      world.linked(connection, link, far);
      if (!process2.isAlive) return world.a.isUp ? connection.processDied("a") : void 0;
      link.open(connection);
      process2.run(() => resolve({ link, reply, close: (reason) => link.close(reason) }));
    };
  });
}
async function receive(world, hello) {
  const { b, machines } = world;
  const process2 = b.start("tsremus receive");
  world.receive = process2;
  const link = new SimLink(process2, "b");
  const ports = {
    ...b.portsOf(process2),
    registry: b.registry.portFor(process2),
    hypervisor: b.hypervisor.portFor(process2),
    step(state, event) {
      const step = machines.stepBackup(state, event);
      world.decidingOnB(step.effects);
      return step;
    },
    async offerPulse(_session, _log, onHeard) {
      world.pulseOfB = new SimPulse(process2, "b", onHeard);
      return offered(world.pulseOfB);
    },
    openDecoder: async (_agreed, allocate) => simDecoder(allocate),
    disks: {
      openPrimary: async () => [],
      openBackup: async () => {
        const disk = new SimBackupDisk(process2, world.diskOfB);
        world.openDiskOfB(disk);
        return [disk];
      }
    },
    announce: async () => {
    },
    leaveOnRequest() {
      let isStopped = false;
      process2.onTerm(() => {
        isStopped = true;
      });
      return () => isStopped;
    }
  };
  const options = { wait: true, maxMemoryBytes: null };
  const prepared = await prepareReception(ports, hello, options).catch((error) => {
    process2.exit();
    throw error;
  });
  const reception = new Reception(ports, prepared, link);
  const reply = {
    kind: "hello-accepted",
    ...speakerOf(ports, hello),
    pulse: prepared.pulseOffer,
    stream: prepared.stream
  };
  process2.later(0, () => {
    reception.run().then(
      (outcome) => world.received(outcome.kind, process2),
      (error) => world.broke(error)
    );
  });
  return { reply, link };
}
function speakerOf(ports, { capabilities }) {
  const { hostName: host } = ports.settings;
  return { protocol: protocolVersion, tsremus: "sim", xen: null, host, capabilities };
}

// test/sim/faults.ts
var FaultInjector = class {
  #world;
  #onCall = [];
  #calls = /* @__PURE__ */ new Map();
  #isCalm = false;
  #isHungForGood = false;
  /** What struck whom, for the verdict at the end. */
  struck = /* @__PURE__ */ new Set();
  /** The primary's guest could not be paused by anybody since then. */
  #helplessFromMs = null;
  #helplessUntilMs = null;
  isGuestEnded = false;
  isFailoverOrdered = false;
  /** The backup is writing a decision. */
  isDecidingOnB = false;
  /** The end of the link was known on host B before anything was decided. */
  isLinkEndKnown = false;
  /** What the administrator who cleans up achieved; null: nothing yet. */
  cleanedUp = null;
  /** He was told last that it stays held. */
  isLeftHeld = false;
  constructor(world) {
    this.#world = world;
  }
  arm() {
    for (const fault of this.#world.plan.faults) {
      const { trigger } = fault;
      if (trigger.kind === "call") this.#onCall.push(fault);
      else this.#world.after(trigger.atMs, () => this.#strike(fault.fault));
    }
    this.#forceWhenDead();
  }
  beforeCall(process2, what) {
    if (this.#onCall.length === 0) return;
    for (const fault of [...this.#onCall]) {
      const { trigger } = fault;
      if (trigger.kind !== "call" || trigger.host !== process2.host.side) continue;
      if (!what.startsWith(trigger.what)) continue;
      const count = (this.#calls.get(fault) ?? 0) + 1;
      this.#calls.set(fault, count);
      if (count < trigger.count) continue;
      this.#onCall = this.#onCall.filter((other) => other !== fault);
      this.#world.trace("*", () => `before "${what}"`);
      this.#strike(fault.fault);
    }
  }
  /** Nothing new goes wrong; everything that can heal has healed. */
  calm() {
    const { a, b, network, plan, guest, copy, linkB } = this.#world;
    this.#isCalm = true;
    this.#onCall = [];
    this.#world.trace(".", () => "calm");
    if (plan.isCutForGood) {
      network.cut("ab");
      network.cut("ba");
    } else {
      network.healAll();
    }
    network.thaw("a");
    network.thaw("b");
    guest.isFrozen = false;
    if (copy !== null) copy.isFrozen = false;
    for (const host of [a, b]) for (const process2 of host.processes) process2.continue();
    if (!this.#isHungForGood) linkB?.heal();
    b.disk.isFull = false;
    b.disk.isReadOnly = false;
    b.disk.failsLeft = 0;
    b.disk.shortWritesLeft = 0;
    b.diskSlowMs = 0;
    this.#helplessUntilMs ??= this.#world.nowMs;
  }
  /**
   * Without a buffer somebody has to pause the guest. While tsremus on the primary is dead or
   * stopped nobody does: such a violation is expected, and counted. The end of the link that a
   * killed process leaves behind must not lead to one, so the backup must have seen silence.
   */
  excuse(rule) {
    const { plan, a, protectProcess, outcome, nowMs } = this.#world;
    if (plan.config.buffered || rule !== "one-active") return null;
    if (!protectProcess.isAlive && a.isUp && outcome === null) {
      if (this.isFailoverOrdered) return "protect killed, failover ordered";
      return this.isLinkEndKnown ? null : "protect killed";
    }
    if (this.#helplessFromMs === null || nowMs < this.#helplessFromMs) return null;
    if (nowMs > (this.#helplessUntilMs ?? nowMs)) return null;
    return this.struck.has("stall a") ? "primary host stalled" : "protect stopped";
  }
  /** The administrator who looks after a guest that is held because the copy is truly dead. */
  #forceWhenDead() {
    const { plan } = this.#world;
    if (!plan.forces) return;
    this.#world.after(4 * plan.config.heartbeatTimeoutMs, () => {
      const { b, checker, protectProcess, receive: receive2 } = this.#world;
      const isGone = b.hypervisor.domains.length === 0;
      const isDead = receive2?.isAlive === false && isGone && checker.activated === null;
      if (isDead && protectProcess.isAlive && !protectProcess.isStopped) {
        const what = "the administrator vouches that the copy never ran and never will";
        this.#world.trace("A", () => what);
        checker.isVouched = true;
        this.#order(this.#world.a, { verb: "stop", force: true });
      }
      this.#forceWhenDead();
    });
  }
  /**
   * `tsremus stop` and `tsremus failover`: a request to the session of the host, if it is there.
   */
  #order(host, request) {
    const role = host.side === "a" ? "primary" : "backup";
    const entry = host.registry.entries().find(({ status }) => status.role === role);
    if (entry === void 0 || entry.liveness !== "alive") return;
    const process2 = host.start(`tsremus ${request.verb}`);
    const registry = host.registry.portFor(process2);
    const end = () => process2.exit();
    process2.later(0, () => {
      registry.request(entry.socketPath, request, { silenceMsMax: 25e3 }).then(end, end);
    });
  }
  /**
   * The administrator who finds what a killed protect left, and tries again until it is settled.
   */
  #cleanUp() {
    const { plan, random } = this.#world;
    if (!plan.cleansUp) return;
    this.#world.after(plan.config.heartbeatTimeoutMs * random.between(0.1, 4), () => {
      const { a, protectProcess } = this.#world;
      if (!a.isUp || protectProcess.isAlive || this.cleanedUp !== null) return;
      this.#world.touched();
      const again = () => this.#cleanUp();
      stopLeft(this.#world, false).then((kind) => {
        this.#world.trace("A", () => `tsremus stop: ${kind}`);
        this.isLeftHeld = kind === "held";
        if (this.isLeftHeld) again();
        else this.cleanedUp = kind;
      }, again);
    });
  }
  #heals(forMs, heal) {
    this.#world.after(forMs, () => {
      if (!this.#isCalm) heal();
    });
  }
  #strike(fault) {
    if (this.#isCalm) return;
    this.#world.trace("*", () => `fault ${JSON.stringify(fault)}`);
    this.struck.add("host" in fault ? `${fault.kind} ${fault.host}` : fault.kind);
    this.#carryOut(fault);
  }
  #carryOut(fault) {
    const { a, b, connection, linkA, linkB } = this.#world;
    switch (fault.kind) {
      case "cut":
        return this.#cut(fault.directions, fault.forMs);
      case "reset":
        connection?.reset(fault.sides, "connection reset");
        return;
      case "kill-protect":
        return this.#killProtect();
      case "kill-receive":
        this.#world.receive?.exit();
        return;
      case "kill-guard":
        a.processes.find(({ name }) => name === "tsremus guard")?.exit();
        return;
      case "stop-protect":
        return this.#stopProtect(fault.forMs, false);
      case "stop-receive":
        return this.#stopReceive(fault.forMs, false);
      case "stall":
        if (fault.host === "a") this.#stopProtect(fault.forMs, true);
        else this.#stopReceive(fault.forMs, true);
        return;
      case "crash":
        return this.#crash(fault.host, fault.rebootMs);
      case "wall-step":
        (fault.host === "a" ? a : b).stepWall(fault.byMs);
        return;
      case "save-failed":
        a.hypervisor.save?.fail();
        return;
      case "guest-ended":
        return this.#endGuest();
      case "damage":
        if (linkA !== null) linkA.damages = true;
        return;
      case "stop":
        return this.#order(a, { verb: "stop", force: false });
      case "terminate":
        return this.#terminateProtect();
      case "failover":
        this.isFailoverOrdered = true;
        return this.#order(b, { verb: "failover" });
      case "plug-in":
        this.#world.buffer?.plugIn(fault.port);
        return;
      case "unplug":
        return this.#unplug();
      case "hang":
        linkB?.hang(fault.isStream);
        if (fault.forMs === null) this.#isHungForGood = true;
        else this.#heals(fault.forMs, () => linkB?.heal());
        return;
      case "disk-link-reset":
        this.#world.diskConnection?.reset(["a", "b"], "connection reset");
        return;
      default:
        this.#carryOutOnBackup(fault);
        return;
    }
  }
  #carryOutOnBackup(fault) {
    const { hypervisor, disk } = this.#world.b;
    switch (fault.kind) {
      case "apply-fails":
        hypervisor.appliesLeftToFail = 1;
        return;
      case "build-fails":
        hypervisor.buildsLeftToFail = 1;
        return;
      case "unpause-fails":
        hypervisor.unpausesLeftToFail = fault.times;
        return;
      case "discard-fails":
        hypervisor.destroysLeftToFail = fault.times;
        return;
      case "disk-part-fails":
        if (this.#world.diskB !== null) this.#world.diskB.failsLeft = 1;
        return;
      case "disk-full":
        disk.isFull = true;
        return this.#heals(fault.forMs, () => {
          disk.isFull = false;
        });
      case "disk-read-only":
        disk.isReadOnly = true;
        return this.#heals(fault.forMs, () => {
          disk.isReadOnly = false;
        });
      case "short-writes":
        disk.shortWritesLeft = fault.times;
        return;
      case "disk-slow":
        this.#world.b.diskSlowMs = fault.byMs;
        return this.#heals(fault.forMs, () => {
          this.#world.b.diskSlowMs = 0;
        });
      case "disk-lies":
        disk.failMode = "after";
        disk.failsLeft = fault.times;
        return;
      default:
        throw new Error(`no such fault: ${fault.kind}`);
    }
  }
  #killProtect() {
    const { protectProcess } = this.#world;
    if (!protectProcess.isAlive) return;
    protectProcess.exit();
    this.#cleanUp();
  }
  #terminateProtect() {
    const { protectProcess } = this.#world;
    if (!protectProcess.isAlive) return;
    protectProcess.terminate();
    if (!protectProcess.isAlive) this.#cleanUp();
  }
  #unplug() {
    const { buffer, random } = this.#world;
    const present = buffer?.present ?? [];
    if (present.length > 0) buffer?.unplug(random.pick(present));
  }
  #cut(directions, forMs) {
    const { network } = this.#world;
    for (const direction of directions) {
      network.cut(direction);
      this.#heals(forMs, () => network.heal(direction));
    }
  }
  #stopProtect(forMs, isHost) {
    const { a, guest, network, protectProcess } = this.#world;
    const stopped = isHost ? [...a.processes] : [protectProcess];
    for (const process2 of stopped) process2.stop();
    if (isHost) {
      guest.isFrozen = true;
      this.#mayFreeze("a");
    }
    this.#helplessFromMs ??= this.#world.nowMs;
    this.#helplessUntilMs = null;
    this.#heals(forMs, () => {
      this.#helplessUntilMs = this.#world.nowMs;
      guest.isFrozen = false;
      network.thaw("a");
      for (const process2 of stopped) process2.continue();
    });
  }
  /** What comes for a host that stands still is lost and sent again, or waits in its memory. */
  #mayFreeze(side) {
    const { network, random } = this.#world;
    if (random.chance(0.5)) network.freeze(side);
  }
  #stopReceive(forMs, isHost) {
    const { b, network, receive: receive2 } = this.#world;
    const stopped = isHost ? [...b.processes] : receive2 === null ? [] : [receive2];
    for (const process2 of stopped) process2.stop();
    const frozen = isHost ? this.#world.copy : null;
    if (isHost) this.#mayFreeze("b");
    if (frozen !== null) frozen.isFrozen = true;
    this.#heals(forMs, () => {
      network.thaw("b");
      if (frozen !== null) frozen.isFrozen = false;
      for (const process2 of stopped) process2.continue();
    });
  }
  #crash(side, rebootMs) {
    const { a, b } = this.#world;
    const host = side === "a" ? a : b;
    if (!host.isUp) return;
    host.crash();
    this.#world.crashed(side);
    if (rebootMs === null) return;
    this.#heals(rebootMs, () => {
      host.isUp = true;
    });
  }
  #endGuest() {
    const { a, domain, guest } = this.#world;
    if (!guest.isAlive || !guest.isRunning) return;
    this.isGuestEnded = true;
    a.hypervisor.endGuest(domain);
  }
};

// test/sim/host.ts
import { createHash } from "node:crypto";

// test/sim/files.ts
import { basename as basename2, dirname as dirname3 } from "node:path";
var errnoTexts = {
  EBADF: "bad file descriptor",
  EEXIST: "file already exists",
  EFBIG: "file too large",
  EIO: "i/o error",
  EISDIR: "illegal operation on a directory",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  EROFS: "read-only file system"
};
function errno(code, what) {
  return Object.assign(new Error(`${code}: ${errnoTexts[code]}, ${what}`), { code });
}
var changing = /^(make-dir|create|write|sync|link|rename|unlink|sync-dir) /;
var SimDisk = class {
  #nowMs;
  #folders = /* @__PURE__ */ new Map([["/", emptyFolder()]]);
  #boot = 0;
  /** ENOSPC for a new folder, file or name, and for what is written. */
  isFull = false;
  /** EROFS for whatever would change something, and for a sync of what is not durable yet. */
  isReadOnly = false;
  /** So many of the next steps for which `failsAt` holds end with EIO. */
  failsLeft = 0;
  /** `after`: the step is taken all the same. */
  failMode = "before";
  /** Which steps may fail, by `what`; unless told otherwise those that change or sync. */
  failsAt = (what) => changing.test(what);
  /** So many of the next writes take half of the text, then end with ENOSPC. */
  shortWritesLeft = 0;
  /**
   * What is to be found under a path changed: a name appeared, was replaced or vanished (null),
   * text was added, or the power cut lost something. Not for folders.
   */
  onName;
  /** `nowMs`: the host's wall clock, for the times of files. */
  constructor(nowMs = () => 0) {
    this.#nowMs = nowMs;
  }
  /** The disk as one process of the running boot sees it: each call is one `perform`. */
  filesFor(caller) {
    const step = (what, work2) => {
      const boot = this.#boot;
      return caller.perform(what, () => {
        if (boot !== this.#boot) throw new Error(`the simulator ran ${what} after the power cut`);
        return this.#attempt(what, work2);
      });
    };
    return {
      makeDir: (path) => step(`make-dir ${path}`, () => this.#makeDir(path)),
      open: (path, how) => step(`${how === "new" ? "create" : "open"} ${path}`, () => {
        const inode = how === "new" ? this.#createFile(path) : this.#inode(path);
        return this.#openFile(inode, path, step);
      }),
      link: (from, to) => step(`link ${to}`, () => this.#link(from, to)),
      rename: (from, to) => step(`rename ${to}`, () => this.#rename(from, to)),
      unlink: (path) => step(`unlink ${path}`, () => this.#unlink(path)),
      list: (dir) => step(`list ${dir}`, () => this.#list(dir)),
      syncDir: (dir) => step(`sync-dir ${dir}`, () => this.#syncDir(dir)),
      modifiedMs: (path) => step(`modified ${path}`, () => this.#inode(path).modifiedMs)
    };
  }
  /** What a process would read there now, or null; takes no time and never fails. */
  read(path) {
    return this.#folders.get(dirname3(path))?.visible.get(basename2(path))?.text ?? null;
  }
  /** Visible names in a folder, as of now; none when there is no such folder. */
  names(dir) {
    return [...this.#folders.get(dir)?.visible.keys() ?? []];
  }
  /** True when a power cut now could change nothing. */
  get isDurable() {
    return [...this.#folders.values()].every(
      ({ pending, visible }) => pending.length === 0 && [...visible.values()].every(isSynced)
    );
  }
  /** The host lost power: L1 and L2. Whatever was open is gone; the faults stay as they are. */
  powerOff(random) {
    this.#boot += 1;
    const before = this.#contents();
    const kept = /* @__PURE__ */ new Set();
    for (const folder of this.#folders.values()) {
      for (const change of folder.pending) {
        if (random.chance(0.5)) apply(change, folder.durable);
      }
      folder.pending = [];
      folder.visible.clear();
      for (const [name, inode] of folder.durable) {
        folder.visible.set(name, inode);
        kept.add(inode);
      }
    }
    for (const inode of kept) lose(inode, random);
    const after = this.#contents();
    for (const path of before.keys()) if (!after.has(path)) this.onName?.(path, null);
    for (const [path, text] of after) if (before.get(path) !== text) this.onName?.(path, text);
  }
  #contents() {
    const contents = /* @__PURE__ */ new Map();
    for (const [dir, { visible }] of this.#folders) {
      for (const [name, { text }] of visible) contents.set(pathOf(dir, name), text);
    }
    return contents;
  }
  #attempt(what, work2) {
    const fails = this.failsLeft > 0 && this.failsAt(what);
    if (!fails) return work2();
    this.failsLeft -= 1;
    if (this.failMode === "after") work2();
    throw errno("EIO", what);
  }
  #makeDir(path) {
    if (this.#folders.has(path)) return;
    this.#makeDir(dirname3(path));
    if (this.read(path) !== null) throw errno("EEXIST", path);
    this.#mustTakeNew(path);
    this.#folders.set(path, emptyFolder());
  }
  #createFile(path) {
    this.#mustBeFree(path);
    this.#mustTakeNew(path);
    const inode = { text: "", durableLength: 0, modifiedMs: this.#nowMs() };
    this.#change(dirname3(path), /* @__PURE__ */ new Map([[basename2(path), inode]]));
    return inode;
  }
  #openFile(inode, path, step) {
    let isOpen = true;
    const onOpen = (what, work2) => step(`${what} ${path}`, () => {
      if (!isOpen) throw errno("EBADF", `${what} ${path}`);
      return work2();
    });
    return {
      write: (content) => onOpen("write", () => this.#write(inode, content, path)),
      sync: () => onOpen("sync", () => {
        if (this.isReadOnly && !isSynced(inode)) throw errno("EROFS", path);
        inode.durableLength = inode.text.length;
      }),
      read: (bytesMax) => onOpen("read", () => {
        if (Buffer.byteLength(inode.text) > bytesMax) throw errno("EFBIG", path);
        return inode.text;
      }),
      close: () => onOpen("close", () => {
        isOpen = false;
      })
    };
  }
  #write(inode, content, path) {
    this.#mustTakeNew(path);
    const isShort = this.shortWritesLeft > 0;
    if (isShort) this.shortWritesLeft -= 1;
    inode.text += isShort ? content.slice(0, Math.floor(content.length / 2)) : content;
    inode.modifiedMs = this.#nowMs();
    if (this.onName !== void 0) this.#tellNamesOf(inode);
    if (isShort) throw errno("ENOSPC", path);
  }
  #tellNamesOf(inode) {
    for (const [dir, { visible }] of this.#folders) {
      for (const [name, other] of visible) {
        if (other === inode) this.onName?.(pathOf(dir, name), inode.text);
      }
    }
  }
  #link(from, to) {
    const inode = this.#inode(from);
    this.#mustBeFree(to);
    this.#mustTakeNew(to);
    this.#change(dirname3(to), /* @__PURE__ */ new Map([[basename2(to), inode]]));
  }
  #rename(from, to) {
    const inode = this.#inode(from);
    if (dirname3(from) !== dirname3(to)) throw new Error(`${from} to ${to}: not simulated`);
    if (this.#folders.has(to)) throw errno("EISDIR", to);
    const replaced = this.#folder(dirname3(to)).visible.get(basename2(to));
    if (this.isReadOnly) throw errno("EROFS", to);
    if (replaced === inode) return;
    if (replaced === void 0) this.#mustTakeNew(to);
    const change = /* @__PURE__ */ new Map([
      [basename2(from), null],
      [basename2(to), inode]
    ]);
    this.#change(dirname3(to), change);
  }
  #unlink(path) {
    if (this.#folders.has(path)) throw errno("EISDIR", path);
    this.#inode(path);
    if (this.isReadOnly) throw errno("EROFS", path);
    this.#change(dirname3(path), /* @__PURE__ */ new Map([[basename2(path), null]]));
  }
  #list(dir) {
    const files = this.#folder(dir).visible.keys();
    const folders = [...this.#folders.keys()].filter((path) => path !== "/");
    const inIt = folders.filter((path) => dirname3(path) === dir).map((path) => basename2(path));
    return [...files, ...inIt].sort();
  }
  #syncDir(dir) {
    const folder = this.#folder(dir);
    if (this.isReadOnly && folder.pending.length > 0) throw errno("EROFS", dir);
    folder.durable = new Map(folder.visible);
    folder.pending = [];
  }
  #change(dir, change) {
    const folder = this.#folder(dir);
    folder.pending.push(change);
    apply(change, folder.visible);
    for (const [name, inode] of change) this.onName?.(pathOf(dir, name), inode?.text ?? null);
  }
  #folder(dir) {
    const folder = this.#folders.get(dir);
    if (folder !== void 0) return folder;
    throw errno(this.read(dir) === null ? "ENOENT" : "ENOTDIR", dir);
  }
  #inode(path) {
    if (this.#folders.has(path)) throw errno("EISDIR", path);
    const inode = this.#folder(dirname3(path)).visible.get(basename2(path));
    if (inode === void 0) throw errno("ENOENT", path);
    return inode;
  }
  #mustBeFree(path) {
    const isTaken = this.#folder(dirname3(path)).visible.has(basename2(path));
    if (isTaken || this.#folders.has(path)) throw errno("EEXIST", path);
  }
  #mustTakeNew(path) {
    if (this.isReadOnly) throw errno("EROFS", path);
    if (this.isFull) throw errno("ENOSPC", path);
  }
};
function emptyFolder() {
  return { visible: /* @__PURE__ */ new Map(), durable: /* @__PURE__ */ new Map(), pending: [] };
}
function pathOf(dir, name) {
  return dir === "/" ? `/${name}` : `${dir}/${name}`;
}
function apply(change, names) {
  for (const [name, inode] of change) {
    if (inode === null) names.delete(name);
    else names.set(name, inode);
  }
}
function isSynced({ text, durableLength }) {
  return text.length === durableLength;
}
function lose(inode, random) {
  const { text, durableLength } = inode;
  if (isSynced(inode)) return;
  const part = random.pick(["nothing", "torn", "all"]);
  if (part === "nothing") inode.text = text.slice(0, durableLength);
  const most = Math.max(durableLength + 1, text.length - 1);
  if (part === "torn") inode.text = text.slice(0, random.int(durableLength + 1, most));
  inode.durableLength = inode.text.length;
}

// test/sim/process.ts
var SimProcess = class {
  host;
  name;
  id;
  #waiting = [];
  #onExit = [];
  #onSignal = [];
  /** It continues, and what waited is still being served. */
  #isCatchingUp = false;
  isAlive = true;
  isStopped = false;
  constructor(host, name, id) {
    this.host = host;
    this.name = name;
    this.id = id;
  }
  /** Runs `what` in this process: at once, after it continues, or never. */
  run(what, isTimer = false) {
    if (!this.isAlive) return;
    if (this.isStopped || this.#isCatchingUp) {
      this.#waiting.push({ what, isTimer });
      return;
    }
    this.host.world.touched();
    what();
  }
  /** The same in `delayMs` of the world. */
  later(delayMs, what) {
    this.host.world.after(delayMs, () => this.run(what));
  }
  /** A call to the host: done now, when the process continues, or never. */
  call(what, deed) {
    if (!this.isAlive) return;
    if (!this.isStopped) this.host.world.beforeCall(this, what);
    if (this.isStopped) this.run(deed);
    else if (this.isAlive) deed();
  }
  /**
   * A call that takes its time: `work` is done after `doneMs` at the latest, and what it gives, or
   * throws, is heard some time after that.
   */
  perform(what, doneMs, work2) {
    const { random } = this.host.world;
    return new Promise((resolve, reject) => {
      this.call(what, () => {
        this.later(doneMs * random.next(), () => {
          let settle;
          try {
            const value = work2();
            settle = () => resolve(value);
          } catch (error) {
            settle = () => reject(error);
          }
          this.later(doneMs * random.next() * 0.5, settle);
        });
      });
    });
  }
  /** Clock and timers of this process. */
  get time() {
    const { host } = this;
    const after = (delayMs, run) => {
      let isCancelled = false;
      host.world.after(host.worldMs(delayMs), () => {
        if (!isCancelled) this.run(() => isCancelled || run(), true);
      });
      return () => {
        isCancelled = true;
      };
    };
    return {
      clock: { nowMs: () => host.nowMs(), wall: () => new Date(host.wallMs()) },
      timers: { after, soon: (run) => after(0, run) }
    };
  }
  /** When it is killed or ends: what the kernel does then. */
  onExit(what) {
    this.#onExit.push(what);
  }
  /** SIGTERM. */
  onTerm(what) {
    this.#onSignal.push(what);
  }
  /** Its handlers run; without any it ends. */
  terminate() {
    if (this.#onSignal.length === 0) return this.exit();
    this.run(() => {
      for (const what of this.#onSignal) what();
    });
  }
  exit() {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.#waiting = [];
    for (const what of this.#onExit) what();
  }
  stop() {
    this.isStopped = true;
  }
  /**
   * SIGCONT: what waited is served now, in the order in which it came; but its timers may come
   * after all else, for an event loop looks at them before or after what it waits for (libuv,
   * uv_run).
   */
  continue() {
    if (!this.isAlive || !this.isStopped) return;
    this.isStopped = false;
    if (this.host.world.random.chance(0.5)) {
      this.#waiting.sort((one, other) => Number(one.isTimer) - Number(other.isTimer));
    }
    if (!this.#isCatchingUp) this.#catchUp();
  }
  /** One after the other, each with what it leads to; what comes meanwhile comes after them. */
  #catchUp() {
    const next = this.isStopped ? void 0 : this.#waiting.shift();
    this.#isCatchingUp = next !== void 0;
    if (next === void 0) return;
    this.host.world.touched();
    next.what();
    this.host.world.after(0, () => this.#catchUp());
  }
};

// test/sim/registry.ts
var SimRegistry = class {
  #host;
  #status = /* @__PURE__ */ new Map();
  #claims = /* @__PURE__ */ new Map();
  #sockets = /* @__PURE__ */ new Map();
  constructor(host) {
    this.#host = host;
  }
  /** What the session of the role said last. */
  statusOf(role) {
    return [...this.#status.values()].find((status) => status.role === role) ?? null;
  }
  #entry(key, status) {
    const { processes } = this.#host;
    const isAlive = processes.some(({ id }) => id.pid === status.pid);
    const liveness = status.boot_id !== this.#host.bootId ? "other-boot" : isAlive ? "alive" : "dead";
    return { status, liveness, statusPath: key, socketPath: `${key}.sock` };
  }
  entries() {
    return [...this.#status].map(([key, status]) => this.#entry(key, status));
  }
  #claim(key, process2) {
    if (this.#claims.get(key)?.isAlive) return false;
    this.#claims.set(key, process2);
    return true;
  }
  /** The registry as `process` reaches it. */
  portFor(process2) {
    return {
      claimSession: ({ uuid, domain, role }) => process2.perform("claim", 0, () => this.#claimSession(process2, `${uuid}.${role}`, domain)),
      sessions: () => ({ sessions: this.entries(), broken: [] }),
      refreshed: ({ statusPath }) => {
        const status = this.#status.get(statusPath);
        return status === void 0 ? null : this.#entry(statusPath, status);
      },
      forget: ({ statusPath }) => process2.call("forget", () => this.#status.delete(statusPath)),
      amend: ({ uuid, session }, change) => process2.call("amend", () => {
        const key = `${uuid}.primary`;
        const status = this.#status.get(key);
        if (status?.session === session) this.#status.set(key, change(status));
      }),
      claimWatch: ({ uuid }) => process2.perform("claim-watch", 0, () => {
        const key = `${uuid}.watch`;
        if (!this.#claim(key, process2)) return null;
        return () => process2.call("release-watch", () => this.#claims.delete(key));
      }),
      watcherOf: (uuid) => {
        const watcher = this.#claims.get(`${uuid}.watch`);
        return watcher?.isAlive ? watcher.id : null;
      },
      serve: (socketPath, handler) => process2.perform("serve", 0, () => {
        this.#sockets.set(socketPath, { process: process2, handler });
        return { close: () => process2.call("unserve", () => this.#sockets.delete(socketPath)) };
      }),
      request: (socketPath, request, options) => this.#request(process2, socketPath, request, options?.silenceMsMax ?? 6e4)
    };
  }
  #claimSession(process2, key, domain) {
    if (!this.#claim(key, process2)) {
      throw new OperationError("already-protected", `${domain} is protected already`, {
        op: "claim"
      });
    }
    const before = this.#status.get(key);
    const entry = before === void 0 ? null : this.#entry(key, before);
    const isLeft = entry !== null && entry.liveness !== "alive" && !isSettled(entry.status);
    let isReleased = false;
    return {
      socketPath: `${key}.sock`,
      unsettled: isLeft ? entry.status : null,
      publish: (status) => {
        if (isReleased) return null;
        process2.call("publish", () => {
          this.#status.set(key, status);
          this.#host.world.published(this.#host.side);
        });
        return null;
      },
      release: (what) => {
        if (isReleased) return;
        isReleased = true;
        process2.call("release-claim", () => {
          if (what === "as-before" && before !== void 0) this.#status.set(key, before);
          else if (what !== "keep-status") this.#status.delete(key);
          this.#claims.delete(key);
        });
      }
    };
  }
  #request(caller, socketPath, request, silenceMs2) {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const settle = (what) => {
        if (!isOver) what();
        isOver = true;
      };
      const fail = (text, code = "command-failed") => settle(() => reject(new OperationError(code, text, { op: "ask-session" })));
      caller.call(`request ${request.verb}`, () => {
        const served = this.#sockets.get(socketPath);
        if (!served?.process.isAlive) {
          caller.later(0, () => fail("the session does not answer: nobody listens"));
          return;
        }
        const { process: process2, handler } = served;
        process2.onExit(() => caller.later(0, () => fail("the session closed the connection")));
        caller.later(silenceMs2, () => fail("the session does not answer", "command-timeout"));
        process2.later(0, () => {
          handler(request, () => {
          }).then(
            (result) => process2.call(
              "reply",
              () => caller.later(0, () => settle(() => resolve(result)))
            ),
            (error) => process2.call("reply", () => caller.later(0, () => settle(() => reject(error))))
          );
        });
      });
    });
  }
};

// test/sim/host.ts
var gibibyte = 1024 ** 3;
var SimHost = class {
  world;
  side;
  disk;
  registry;
  hypervisor;
  isUp = true;
  boot = 1;
  #nextPid = 100;
  processes = [];
  /** Extra time of each operation of the disk, ms. */
  diskSlowMs = 0;
  #wallStepMs = 0;
  constructor(world, side) {
    this.world = world;
    this.side = side;
    this.disk = new SimDisk(() => this.wallMs());
    this.registry = new SimRegistry(this);
    this.hypervisor = new SimHypervisor(this);
  }
  get #rate() {
    return this.side === "a" ? this.world.plan.clockRateA : this.world.plan.clockRateB;
  }
  /** The host's own clock. */
  nowMs() {
    const { plan, nowMs } = this.world;
    return (this.side === "a" ? plan.clockStartA : plan.clockStartB) + nowMs * this.#rate;
  }
  /** How long of the world's time `delayMs` of this host's are. */
  worldMs(delayMs) {
    return delayMs / this.#rate;
  }
  wallMs() {
    return Date.UTC(2026, 0, 1) + this.nowMs() + this.#wallStepMs;
  }
  /** Somebody sets the time of day. */
  stepWall(byMs) {
    this.#wallStepMs += byMs;
  }
  get bootId() {
    const digest = createHash("md5").update(`${this.side}${this.boot}`).digest("hex");
    return digest.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }
  start(name) {
    const id = { pid: this.#nextPid, startTicks: this.#nextPid * 7, bootId: this.bootId };
    this.#nextPid += 1;
    const process2 = new SimProcess(this, name, id);
    this.processes.push(process2);
    process2.onExit(() => {
      this.processes = this.processes.filter((one) => one !== process2);
    });
    return process2;
  }
  /** Power-off, or a crash: nothing is synced, nobody says goodbye. */
  crash() {
    this.isUp = false;
    this.boot += 1;
    for (const process2 of [...this.processes]) process2.exit();
    this.hypervisor.crash();
    this.hypervisor = new SimHypervisor(this);
    this.registry = new SimRegistry(this);
    this.disk.powerOff(this.world.random);
  }
  #stateOf(id) {
    if (id.bootId !== this.bootId) return "other-boot";
    return this.processes.some((one) => one.id.pid === id.pid) ? "alive" : "dead";
  }
  #processesOf(self) {
    return {
      self: self.id,
      state: (id) => this.#stateOf(id),
      signal: (id, signal) => self.call(`signal ${signal}`, () => {
        const target = this.processes.find((one) => one.id.pid === id.pid);
        if (signal === "SIGTERM") target?.terminate();
        else target?.exit();
      })
    };
  }
  /** What `process` may use of this host. */
  portsOf(process2) {
    const { random, plan } = this.world;
    const chance = {
      bytes: (count) => Buffer.from(Array.from({ length: count }, () => random.int(0, 255))),
      share: () => random.next()
    };
    const files = this.disk.filesFor({
      perform: (what, work2) => process2.perform(what, plan.diskMs * 0.25 + this.diskSlowMs, () => work2())
    });
    return {
      ...process2.time,
      chance,
      store: new Store(files, chance),
      processes: this.#processesOf(process2),
      settings: {
        hostName: `host${this.side}`,
        memoryBytes: 4 * gibibyte,
        runDirectory: "/run/tsremus",
        stateDirectory,
        logDirectory: "/var/log/tsremus",
        logLevel: "info"
      },
      openLog: (name) => this.#log(name)
    };
  }
  #log(name) {
    const { world, side } = this;
    const who = side.toUpperCase();
    const say = (text) => world.trace(who, () => `${name}: ${text}`);
    return { debug() {
    }, info: say, warning: say, error: say, flush() {
    }, close() {
    } };
  }
};

// test/sim/world.ts
var stepsMax = 2e5;
var settled = () => new Promise((resolve) => setImmediate(resolve));
var World = class {
  plan;
  machines;
  random;
  checker;
  network;
  a;
  b;
  faults;
  /** Host A's; null with -n. In the kernel, so it survives the process, not the host. */
  buffer;
  /** The disk of host B. */
  diskOfB = { epoch: -1, disk: -1 };
  guest;
  domain;
  protectProcess;
  protection = null;
  receive = null;
  linkA = null;
  linkB = null;
  connection = null;
  diskConnection = null;
  pulseOfB = null;
  /** How protect ended; null: it runs, or was killed. */
  outcome = null;
  outputEndsLeftToFail = 0;
  #diskA = null;
  diskB = null;
  #built = null;
  /** An epoch of which a piece was damaged on its way: nothing from it on becomes whole. */
  #damagedFrom = Number.POSITIVE_INFINITY;
  #queue = new EventQueue();
  #transcript;
  #hash = createHash2("sha1");
  #isTouched = false;
  nowMs = 0;
  #steps = 0;
  ending = null;
  constructor(plan, machines, isVerbose) {
    this.plan = plan;
    this.machines = machines;
    this.random = new Random(plan.seed ^ 1540483477);
    this.#transcript = isVerbose ? [] : null;
    const { heartbeatTimeoutMs, buffered, pendingMax } = this.plan.config;
    this.checker = new Checker(
      { isBuffered: buffered, timeoutMs: heartbeatTimeoutMs, pendingMax },
      () => this.nowMs
    );
    this.network = new Network(this, this.plan.delayMsMin, this.plan.delayMsMax);
    this.a = new SimHost(this, "a");
    this.b = new SimHost(this, "b");
    this.b.disk.onName = (path) => this.#recordChanged(path);
    this.buffer = buffered ? new machines.OutputBuffer(plan.buffer, this.checker) : null;
    this.guest = new Guest("a", 0, 0);
    this.domain = this.a.hypervisor.add(guestName, this.guest);
    this.protectProcess = this.a.start("tsremus protect");
    this.faults = new FaultInjector(this);
  }
  after(delayMs, run) {
    this.#queue.push(this.nowMs + delayMs, this.random.next(), run);
  }
  trace(who, text) {
    const line = `${this.nowMs.toFixed(1).padStart(9)} ms  ${who}  ${text()}`;
    this.#hash.update(line);
    this.#transcript?.push(line);
  }
  /** A program runs: the event is over when that has come to rest. */
  touched() {
    this.#isTouched = true;
  }
  beforeCall(process2, what) {
    if (process2 === this.receive && /^create .*\.decision\./.test(what)) {
      this.faults.isDecidingOnB = true;
    }
    this.faults.beforeCall(process2, what);
  }
  /** A program found a bug of its own. */
  broke(error) {
    if (error instanceof InvariantError) this.checker.fail("invariant", error.message);
    else throw error;
  }
  async run() {
    this.#guestWorks();
    this.#startProtect();
    this.faults.arm();
    this.#watch();
    await this.#loop();
    const { violation } = this.checker;
    if (violation !== null) this.trace("!", () => `${violation.rule}: ${violation.text}`);
    const expected = violation === null ? null : this.faults.excuse(violation.rule);
    for (const host of [this.a, this.b]) for (const process2 of [...host.processes]) process2.exit();
    return {
      seed: this.plan.seed,
      violation,
      expected,
      ending: this.ending ?? "broken",
      transcript: this.#transcript ?? [],
      steps: this.#steps,
      hash: this.#hash.digest("hex")
    };
  }
  async #loop() {
    let bug = null;
    const onBug = (error) => {
      bug ??= error;
    };
    process.on("unhandledRejection", onBug);
    try {
      while (this.checker.violation === null && this.ending === null) {
        const next = this.#queue.pop();
        if (next === void 0) throw new Error("the simulator ran dry");
        this.nowMs = Math.max(this.nowMs, next.atMs);
        this.#steps += 1;
        if (this.#steps > stepsMax) this.checker.fail("endless", "the run does not end");
        this.#isTouched = false;
        next.run();
        if (this.#isTouched) await settled();
        if (bug !== null) this.broke(bug);
        this.noteProtecting();
      }
    } finally {
      process.off("unhandledRejection", onBug);
    }
  }
  #startProtect() {
    const { protectProcess } = this;
    protectProcess.later(0, () => {
      protect(this, protectProcess).then(
        (kind) => this.#protectEnded(kind),
        (error) => {
          if (error instanceof InvariantError) this.broke(error);
          else this.#protectEnded(`not begun`);
        }
      );
    });
  }
  #protectEnded(kind) {
    if (!this.protectProcess.isAlive) return;
    this.trace("A", () => `protect ended: ${kind}`);
    this.checker.ended();
    this.outcome = kind;
    this.protectProcess.exit();
  }
  received(kind, process2) {
    this.trace("B", () => `receive ended: ${kind}`);
    process2.exit();
  }
  // --- the guest on host A and its packets ---
  #guestWorks() {
    const { plan, random, guest } = this;
    this.after(plan.packetMs * random.between(0.5, 1.5), () => {
      if (!guest.isAlive) return;
      if (guest.isRunning) this.#guestSends();
      this.#guestWorks();
    });
  }
  #guestSends() {
    const { checker, random, buffer, guest } = this;
    const present = buffer?.present ?? [0];
    const port = present.length === 0 ? null : random.pick(present);
    const epoch = this.a.hypervisor.save?.epoch ?? 0;
    const packet = guest.work(epoch, port ?? 0, random.int(60, 1500));
    if (port === null) return;
    if (buffer === null) checker.emitted(packet);
    else buffer.accept(packet);
  }
  /** The save sets a barrier: the guest is suspended. */
  barrier(handle, epoch, guest) {
    if (handle === outputBarrier) this.buffer?.barrier(epoch);
    if (handle === diskBarrier) this.#diskA?.mark(epoch, guest.disk);
  }
  openBuffer() {
    this.checker.opened();
    this.buffer?.open();
    this.checker.tornDown();
  }
  // --- what the programs do, as the ledger has it ---
  sending(side, message) {
    const { checker, a } = this;
    if (side === "a") {
      if (message.kind === "heartbeat") checker.heartbeatSent(message.seq, a.nowMs());
      return;
    }
    if (message.kind === "ack") checker.ackSent(message.epoch);
    if (message.kind === "answer") checker.answered(message.answer.kind);
    if (message.kind === "copy-lost") checker.answered("promised");
  }
  arrived(side, message) {
    if (side === "a") {
      if (message.kind === "echo") this.checker.echoArrived(message.seq);
    } else if (message.kind === "epoch-end" && message.epoch < this.#damagedFrom) {
      this.checker.wholeArrived(message.epoch);
    }
  }
  /** What the backup's machine wants: an activation for silence needs one. */
  decidingOnB(effects) {
    const { checker, network, nowMs, plan } = this;
    for (const effect of effects) {
      if (effect.kind !== "write-record" || effect.to !== "activating") continue;
      if (!effect.why.startsWith("silence")) continue;
      if (this.linkB?.isHung && plan.datagramLoss === 1) continue;
      const slackMs = 0.32 * plan.config.heartbeatTimeoutMs;
      checker.foundSilence(nowMs - network.reachedAtMs.b, slackMs);
    }
  }
  /** The link has ended for the process of that side, by the peer's doing or its own. */
  linkEnds(side) {
    if (side === "b") this.faults.isLinkEndKnown ||= !this.faults.isDecidingOnB;
  }
  damaged(epoch) {
    this.#damagedFrom = Math.min(this.#damagedFrom, epoch);
  }
  linked(connection, linkA, linkB) {
    this.connection = connection;
    this.linkA = linkA;
    this.linkB = linkB;
  }
  openDiskOfA(disk) {
    this.#diskA = disk;
    this.#openDisks();
  }
  openDiskOfB(disk) {
    this.diskB = disk;
    this.#openDisks();
  }
  /** The connection of the disks is there when both ends are. */
  #openDisks() {
    if (this.#diskA === null || this.diskB === null) return;
    const ends = { a: this.#diskA, b: this.diskB };
    this.diskConnection = new Connection(
      this.network,
      ends,
      (side) => side === "a" ? this.a.isUp : this.b.isUp
    );
    this.#diskA.open(this.diskConnection);
  }
  /** What the record says changed, by somebody's deed or in a power cut. */
  #recordChanged(path) {
    if (!/\.(standby|decision|outcome)$/.test(path)) return;
    const permission2 = recordOn(this.b.disk);
    this.checker.recordSays(permission2, this.b.isUp);
  }
  built(domain, content) {
    this.trace("B", () => `domain ${domain.ref.id} is built from epoch ${content.epoch}`);
    this.#built = content;
  }
  unpaused(side, domain) {
    const { guest } = domain;
    if (side === "a" || guest === null || domain.pauses > 0 || this.checker.isCopyRunning) return;
    const { epoch, memory, isTorn } = this.#built ?? { epoch: -1, memory: -1, isTorn: true };
    const { disk, epoch: diskEpoch } = this.diskOfB;
    guest.disk = disk;
    this.trace("B", () => `the copy runs from epoch ${epoch}`);
    this.checker.copyRuns({ epoch, memory, isTorn, disk, diskEpoch });
    this.#copyWorks(guest);
  }
  #copyWorks(guest) {
    const { plan, random, checker } = this;
    this.after(plan.packetMs * random.between(0.5, 1.5), () => {
      if (!guest.isAlive) return;
      if (guest.isRunning) checker.emitted(guest.work(0));
      this.#copyWorks(guest);
    });
  }
  /** The copy, once it runs. */
  get copy() {
    const copy = this.b.hypervisor.named(guestName)?.guest ?? null;
    return this.checker.isCopyRunning ? copy : null;
  }
  destroying(side, domain) {
    if (side === "a") {
      if (domain.end === null) this.checker.destroyed();
    } else if (domain.guest !== null && domain.pauses === 0 && domain.end === null) {
      this.checker.fail("record", "a running copy was destroyed");
    }
  }
  crashed(side) {
    if (side === "a") this.buffer?.drop();
    else this.checker.copyEnded();
    for (const connection of [this.connection, this.diskConnection]) connection?.crash(side);
  }
  /** What whoever asks on that host is told now. */
  statusOn(side) {
    return statusOn(this, side);
  }
  /** A session on `side` said how it is. */
  published(side) {
    if (side === "b") return;
    const { level, state } = this.statusOn("a");
    if (state !== "ended") this.checker.primaryStatus(level);
  }
  /** The backup is at work: it holds a whole epoch and may activate it. */
  noteProtecting() {
    const { b, receive: receive2, checker } = this;
    const isAtWork = b.isUp && receive2?.isAlive === true && !receive2.isStopped;
    const [restore] = [...b.hypervisor.restores].slice(-1);
    const holds = checker.acked >= 0 && restore?.isWhole === true;
    checker.protecting(isAtWork && holds && checker.permission === "standby");
  }
  /** From the calm on: has the run come to an end that is allowed? */
  #watch() {
    const { plan } = this;
    const { heartbeatTimeoutMs, holdMs } = plan.config;
    const restMs = 15e4;
    const patienceMs = 20 * heartbeatTimeoutMs + 4 * holdMs + 4 * plan.askTimeoutMs + restMs;
    this.after(plan.calmAtMs, () => this.faults.calm());
    const look2 = (before) => {
      this.ending = endingOf(this, before);
      if (this.ending !== null) return;
      if (this.nowMs > plan.calmAtMs + patienceMs) {
        const phases = [this.a, this.b].map(({ side }) => `${side} ${this.statusOn(side).state}`);
        this.checker.fail("liveness", `stuck: ${phases}, record ${this.checker.permission}`);
        return;
      }
      const now = progressOf(this);
      this.after(2 * heartbeatTimeoutMs, () => look2(now));
    };
    this.after(plan.calmAtMs, () => look2(progressOf(this)));
  }
};
function runPlan(plan, machines, isVerbose = false) {
  return new World(plan, machines, isVerbose).run();
}
function runWorld(seed, machines, isVerbose = false) {
  return runPlan(planOf(seed), machines, isVerbose);
}

// test/sim/campaign.ts
var mutantSeedsMax = 3e3;
async function runSeeds(from, count, machines = realMachines) {
  const endings2 = /* @__PURE__ */ new Map();
  const expected = /* @__PURE__ */ new Map();
  const failures = [];
  let steps = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const result = await runWorld(seed, machines);
    steps += result.steps;
    if (result.violation === null) add(endings2, result.ending);
    else if (result.expected !== null) add(expected, result.expected);
    else failures.push(result);
  }
  return { runs: count, steps, endings: sorted(endings2), expected: sorted(expected), failures };
}
async function huntMutants(seedsMax) {
  const catches = [];
  for (const mutant of mutants) catches.push(await hunt(mutant, seedsMax));
  return catches;
}
async function hunt(mutant, seedsMax) {
  const { fromSeed = 1 } = mutant;
  for (let seed = fromSeed; seed < fromSeed + seedsMax; seed += 1) {
    const plan = mutant.tweak?.(planOf(seed)) ?? planOf(seed);
    const { violation, expected } = await runPlan(plan, mutant.machines);
    if (violation === null || expected !== null) continue;
    if (mutant.rule !== void 0 && violation.rule !== mutant.rule) continue;
    return { mutant: mutant.name, seed, rule: `${violation.rule}: ${violation.text}` };
  }
  return { mutant: mutant.name, seed: null, rule: "" };
}
function add(counts, key) {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
function sorted(counts) {
  const entries = [...counts].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
  return Object.fromEntries(entries);
}

// test/sim/main.ts
var transcriptsMax = 3;
var seedsDefault = 1e3;
function print(text) {
  process.stdout.write(`${text}
`);
}
function table2(counts) {
  const lines2 = Object.entries(counts).map(
    ([key, count]) => `${String(count).padStart(8)}  ${key}`
  );
  return lines2.length === 0 ? "    none" : lines2.join("\n");
}
async function printRun(seed, isVerbose) {
  const result = await runWorld(seed, realMachines, isVerbose);
  if (isVerbose) {
    const { config } = planOf(seed);
    print(`seed ${seed}: ${JSON.stringify(config)}`);
    for (const line of result.transcript) print(line);
  }
  const { violation, expected } = result;
  if (violation === null) print(`seed ${seed}: ${result.ending}`);
  else print(`seed ${seed}: ${expected ?? "FAILED"}: ${violation.rule}: ${violation.text}`);
  return result;
}
async function runMany(from, count) {
  const startedMs = performance.now();
  const summary = await runSeeds(from, count);
  const seconds = (performance.now() - startedMs) / 1e3;
  print(`endings:
${table2(summary.endings)}`);
  print(`expected with -n (nobody is there to pause the guest):
${table2(summary.expected)}`);
  const { failures, runs, steps } = summary;
  for (const [index, { seed }] of failures.entries()) {
    await printRun(seed, index < transcriptsMax);
  }
  const pace = `${Math.round(runs / seconds)} seeds/s, ${Math.round(steps / runs)} steps each`;
  print(`${runs - failures.length} passed, ${failures.length} failed (${pace})`);
  return failures.length === 0 ? 0 : 1;
}
async function runMutants(seedsMax) {
  const catches = await huntMutants(seedsMax);
  for (const { mutant, seed, rule } of catches) {
    const verdict = seed === null ? `SURVIVED ${seedsMax} seeds` : `seed ${seed}`;
    print(`${mutant.padEnd(52)} ${verdict.padEnd(12)} ${rule}`);
  }
  const survivors = catches.filter(({ seed }) => seed === null).length;
  print(`${catches.length - survivors} caught, ${survivors} survived`);
  return survivors === 0 ? 0 : 1;
}
function wholeNumber(name, text, fallback) {
  const value = text === void 0 ? fallback : Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`--${name} must be a whole number, not ${text}
`);
  process.exit(64);
}
async function main() {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string" },
      from: { type: "string" },
      seed: { type: "string" },
      verbose: { type: "boolean", default: false },
      mutants: { type: "boolean", default: false }
    }
  });
  if (values.mutants) return runMutants(wholeNumber("seeds", values.seeds, mutantSeedsMax));
  if (values.seed !== void 0) {
    const result = await printRun(wholeNumber("seed", values.seed, 1), values.verbose);
    return result.violation === null || result.expected !== null ? 0 : 1;
  }
  const from = wholeNumber("from", values.from, 1);
  return runMany(from, wholeNumber("seeds", values.seeds, seedsDefault));
}
process.exitCode = await main();
