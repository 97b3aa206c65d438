// Synthetic results.

/** A binary glTF with `count` coloured points on a wavy surface. */
export function pointCloud(count) {
  const side = Math.ceil(Math.sqrt(count));
  const positions = new Float32Array(count * 3);
  const colors = new Uint8Array(count * 4).fill(255);
  for (let index = 0; index < count; index += 1) {
    const [x, y] = [(index % side) / side, Math.floor(index / side) / side];
    positions.set([x - 0.5, y - 0.5, 0.1 * Math.sin(9 * x) * Math.cos(7 * y)], index * 3);
    colors.set([255 * x, 255 * y, 128], index * 4);
  }
  const lowest = [-0.5, -0.5, -0.1];
  const highest = [0.5, 0.5, 0.1];
  const scene = {
    asset: { version: '2.0' },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [{ primitives: [{ mode: 0, attributes: { POSITION: 0, COLOR_0: 1 } }] }],
    accessors: [
      { bufferView: 0, componentType: 5126, count, type: 'VEC3', min: lowest, max: highest },
      { bufferView: 1, componentType: 5121, normalized: true, count, type: 'VEC4' },
    ],
    bufferViews: [
      { buffer: 0, byteOffset: 0, byteLength: positions.byteLength },
      { buffer: 0, byteOffset: positions.byteLength, byteLength: colors.byteLength },
    ],
    buffers: [{ byteLength: positions.byteLength + colors.byteLength }],
  };
  let json = JSON.stringify(scene);
  json = json.padEnd(Math.ceil(json.length / 4) * 4);
  const header = Buffer.alloc(20);
  const data = Buffer.alloc(8);
  const bytes = positions.byteLength + colors.byteLength;
  header.write('glTF', 0, 'latin1');
  header.writeUInt32LE(2, 4);
  header.writeUInt32LE(28 + json.length + bytes, 8);
  header.writeUInt32LE(json.length, 12);
  header.write('JSON', 16, 'latin1');
  data.writeUInt32LE(bytes, 0);
  data.write('BIN\0', 4, 'latin1');
  return Buffer.concat([
    header,
    Buffer.from(json),
    data,
    Buffer.from(positions.buffer),
    Buffer.from(colors.buffer),
  ]);
}

/** A binary message of the protocol. */
export function frame(header, bytes) {
  const text = Buffer.from(JSON.stringify(header));
  const prelude = Buffer.from([0x50, 0x53, 0x42, 1, 0, 0, 0, 0]);
  prelude.writeUInt32LE(text.length, 4);
  return Buffer.concat([prelude, text, bytes]);
}
