/** Clicks on the view, as opposed to the beginning of a movement. */

/** Most pixels that a pointer moves during a click. */
const STILL = 5;

/** Calls `click` with the place in the CSS pixels of the canvas. */
export function watchClicks(
  canvas: HTMLCanvasElement,
  click: (x: number, y: number) => void,
): void {
  let down: { x: number; y: number; pointer: number } | undefined;
  canvas.addEventListener('pointerdown', (event) => {
    const alone = event.isPrimary && event.button === 0;
    down = alone ? { x: event.clientX, y: event.clientY, pointer: event.pointerId } : undefined;
  });
  // The system took the pointer away, for a gesture of its own.
  canvas.addEventListener('pointercancel', () => {
    down = undefined;
  });
  canvas.addEventListener('pointerup', ({ clientX, clientY, pointerId }) => {
    if (!down || down.pointer !== pointerId) {
      return;
    }
    const moved = Math.hypot(clientX - down.x, clientY - down.y);
    down = undefined;
    if (moved <= STILL) {
      const { left, top } = canvas.getBoundingClientRect();
      click(clientX - left, clientY - top);
    }
  });
}
