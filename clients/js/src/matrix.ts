/** 4x4 transforms as arrays of rows. */

import type { Matrix } from './engine/messages.js';

export const IDENTITY: Matrix = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 1],
];

/** An element; 0 if it is missing. */
export function element(matrix: Matrix, row: number, column: number): number {
  return matrix[row]?.[column] ?? 0;
}

/** The product of two 4x4 matrices. */
export function multiply(left: Matrix, right: Matrix): Matrix {
  const sum = (row: number, column: number) =>
    [0, 1, 2, 3].reduce(
      (total, index) => total + element(left, row, index) * element(right, index, column),
      0,
    );
  return [0, 1, 2, 3].map((row) => [0, 1, 2, 3].map((column) => sum(row, column)));
}

/** The inverse of a rotation and a translation. */
export function inverseOfPose(pose: Matrix): Matrix {
  const rows = [0, 1, 2].map((row) => {
    const axis = [0, 1, 2].map((column) => element(pose, column, row));
    const shift = axis.reduce((sum, one, index) => sum - one * element(pose, index, 3), 0);
    // Not -0.
    return [...axis, shift + 0];
  });
  return [...rows, [0, 0, 0, 1]];
}

/** Positions after a transform, computed with 64 bits. */
export function transform(
  positions: Float32Array<ArrayBuffer>,
  by: Matrix,
): Float32Array<ArrayBuffer> {
  const [a, b, c, d] = [0, 1, 2, 3].map((column) => element(by, 0, column)) as Row;
  const [e, f, g, h] = [0, 1, 2, 3].map((column) => element(by, 1, column)) as Row;
  const [i, j, k, l] = [0, 1, 2, 3].map((column) => element(by, 2, column)) as Row;
  const moved = new Float32Array(positions.length);
  for (let at = 0; at + 2 < positions.length; at += 3) {
    const x = positions[at] as number;
    const y = positions[at + 1] as number;
    const z = positions[at + 2] as number;
    moved[at] = a * x + b * y + c * z + d;
    moved[at + 1] = e * x + f * y + g * z + h;
    moved[at + 2] = i * x + j * y + k * z + l;
  }
  return moved;
}

type Row = [number, number, number, number];
