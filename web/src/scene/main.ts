/** A point cloud in a file of its own, which needs no server. */

import type { Metadata } from 'pointstream/engine';
import { reason } from '../shared/api';
import { element, setText } from '../shared/dom';
import { plural } from '../shared/format';
import { connectTools } from '../viewer/surface';
import { Viewer } from '../viewer/viewer';

/** Text of a data block of the page. */
function text(id: string): string {
  return element(id).textContent ?? '';
}

/** The GLB. The policy of the page forbids to fetch it from a `data:` address. */
function glb(): Blob {
  const decoded = atob(text('glb'));
  const bytes = new Uint8Array(decoded.length);
  for (let index = 0; index < decoded.length; index += 1) {
    bytes[index] = decoded.charCodeAt(index);
  }
  // Its text would be kept as long as the page.
  element('glb').remove();
  return new Blob([bytes], { type: 'model/gltf-binary' });
}

async function show(): Promise<void> {
  const facts = element('facts');
  try {
    const viewer = new Viewer(element('view'));
    connectTools(viewer, (message) => setText(facts, message));
    const { metadata } = JSON.parse(text('scene')) as { metadata: Metadata };
    const points = await viewer.show({ glb: glb(), metadata, last: true }, () => undefined);
    const cameras = plural(viewer.poses.length, 'camera');
    setText(facts, `${plural(points ?? 0, 'point')}, ${cameras}`);
  } catch (error) {
    setText(facts, `The point cloud cannot be shown: ${reason(error)}`);
  }
}

void show();
