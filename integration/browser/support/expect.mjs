// Assertions that wait until the page shows what is expected.

import { expect as assertion } from '@playwright/test';
import { PATIENCE } from './page.mjs';

/** `await expect(locator).toHaveText(...)`, or `expect.poll(read)`, with the tests' patience. */
export const expect = assertion.configure({ timeout: PATIENCE });
