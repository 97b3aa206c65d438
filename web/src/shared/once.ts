/** Work that is not begun again while it goes on. */
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

  /** What goes on does not count any more. */
  forget(): void {
    this.running = undefined;
  }
}
