/** Entry point of the client page. */

import { connectIntake } from './intake';
import { controlTabs } from './keyboard';
import { Reconstruction } from './reconstruction';

const reconstruction = new Reconstruction();
const intake = connectIntake(reconstruction);
controlTabs((tab) => {
  if (tab !== 'tab-camera') {
    intake.stopCamera();
  }
});
void reconstruction.start();
