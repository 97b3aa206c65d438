/** Who waits for the answers to messages. */

interface Waiter {
  resolve(answer: unknown): void;
  reject(error: unknown): void;
}

export class Answers {
  private readonly waiters = new Map<string, Waiter>();

  has(id: string | undefined): boolean {
    return id !== undefined && this.waiters.has(id);
  }

  /** The answer to the message with this identifier. */
  to<T>(id: string): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      this.waiters.set(id, { resolve: resolve as Waiter['resolve'], reject });
    });
    // An error that nobody waits for any more is no defect of the program.
    answer.catch(() => undefined);
    return answer;
  }

  /** Returns whether somebody waited for it. */
  resolve(id: string | undefined, answer: unknown): boolean {
    const waiter = this.take(id);
    waiter?.resolve(answer);
    return waiter !== undefined;
  }

  /** Returns whether somebody waited for it. */
  reject(id: string | undefined, error: unknown): boolean {
    const waiter = this.take(id);
    waiter?.reject(error);
    return waiter !== undefined;
  }

  rejectAll(error: unknown): void {
    for (const id of [...this.waiters.keys()]) {
      this.reject(id, error);
    }
  }

  private take(id: string | undefined): Waiter | undefined {
    const waiter = this.waiters.get(id ?? '');
    this.waiters.delete(id ?? '');
    return waiter;
  }
}
