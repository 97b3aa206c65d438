/** Shares one running task between callers. */
export class Once<T> {
  private running: Promise<T> | undefined;

  do(work: () => Promise<T>): Promise<T> {
    if (!this.running) {
      const running = work().finally(() => {
        if (this.running === running) {
          this.running = undefined;
        }
      });
      this.running = running;
    }
    return this.running;
  }

  /** Forgets the running task, so that the next call starts a new one. */
  forget(): void {
    this.running = undefined;
  }
}
