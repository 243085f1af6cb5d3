/**
 * Waits for all of `works`, also after a failure: nothing that has begun goes on behind the
 * caller's back. The first failure calls `giveUp`, which may hasten the others; then rejects with
 * the failure that came first.
 */
export async function allOf(works: readonly Promise<void>[], giveUp: () => void): Promise<void> {
  const failures: unknown[] = [];
  await Promise.all(
    works.map((work) =>
      work.catch((error: unknown) => {
        failures.push(error);
        giveUp();
      }),
    ),
  );
  if (failures.length > 0) throw failures[0];
}
