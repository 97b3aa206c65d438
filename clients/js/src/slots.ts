/** A limit of how much happens at the same time; those beyond it wait in their order. */

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

export class Slots {
  private readonly waiting: Waiter[] = [];
  private error: unknown;

  constructor(private free: number) {}

  async take(): Promise<void> {
    if (this.error) {
      throw this.error;
    }
    if (this.free > 0) {
      this.free -= 1;
    } else {
      await new Promise<void>((resolve, reject) => this.waiting.push({ resolve, reject }));
    }
  }

  give(): void {
    const next = this.waiting.shift();
    if (next) {
      next.resolve();
    } else {
      this.free += 1;
    }
  }

  /** Whoever waits, or comes later, gets the error. */
  end(error: unknown): void {
    this.error = error;
    for (const { reject } of this.waiting.splice(0)) {
      reject(error);
    }
  }
}
