// The client page on a phone, in both colour schemes, and with the keyboard only.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startChromium } from './support/chromium.mjs';
import { openPage } from './support/page.mjs';
import { chooseResolution, logged, photos, stored } from './support/scene.mjs';
import { archive, startServer } from './support/server.mjs';

/** Minimum contrast of normal text, WCAG 2 level AA. */
const CONTRAST = 4.5;
/** Minimum side of a touch target in pixels, WCAG 2.2 level AAA. */
const TOUCH = 44;
const TARGETS = 'button, summary, .button, label.drop, .toggle, .slider, .check, select, input';

let server;

before(async () => {
  server = await startServer('--model', archive('flat'));
});

after(async () => {
  await server?.stop();
});

/** Runs a test in a browser with these options. */
async function within(options, use) {
  const browser = await startChromium(options);
  try {
    const opened = await openPage(browser.context, `${server.base}/`);
    await use(opened.page);
    opened.well();
  } finally {
    await browser.stop();
  }
}

test('on a phone everything is reachable, and nothing is wider than the screen', async () => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
  await within(phone, async (page) => {
    const narrow = async () => {
      const [scrollWidth, clientWidth] = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.scrollingElement;
        return [scrollWidth, clientWidth];
      });
      assert.equal(clientWidth, 390);
      assert.ok(scrollWidth <= clientWidth, `the page is ${scrollWidth} pixels wide`);
    };
    const roomy = async () => {
      const small = await page.evaluate(tooSmall, [TARGETS, TOUCH]);
      assert.deepEqual(small, []);
    };
    await narrow();
    const welcome = await page.locator('#welcome').evaluate((box) => {
      return [box.scrollHeight - box.clientHeight, box.scrollWidth - box.clientWidth];
    });
    assert.ok(Math.max(...welcome) <= 0, `the guide does not fit: ${welcome}`);
    await chooseResolution(page, 56);
    await roomy();
    await page.getByText('All at once').tap();
    await page.locator('#photos').setInputFiles(photos(2));
    await stored(page, 2);
    await page.getByRole('button', { name: 'Update' }).tap();
    await page.locator('#facts', { hasText: '2 cameras' }).waitFor();
    await narrow();
    await page.getByRole('button', { name: 'Reset' }).tap();
    await page.getByRole('tab', { name: 'Video' }).tap();
    await page.getByLabel('Frames to take').tap();
    await page.locator('#save > summary').tap();
    for (const name of [/^GLB /, /^nerfstudio, full size/]) {
      const item = page.getByRole('button', { name });
      await item.scrollIntoViewIfNeeded();
      const { x, y, width, height } = await item.boundingBox();
      assert.ok(x >= 0 && x + width <= 390 && y >= 0 && y + height <= 844, `${name} is outside`);
      assert.ok(await item.evaluate(isOnTop), `${name} is covered or cut off`);
    }
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Finish' }).tap();
    await logged(page, 'final result, 2 images');
    await roomy();
    await page.getByRole('button', { name: 'New session' }).tap();
    await narrow();
    await page.getByRole('button', { name: 'Keep it' }).tap();
    await page.locator('#link[data-link="none"]').waitFor();
  });
});

for (const colorScheme of ['light', 'dark']) {
  test(`text is readable in the ${colorScheme} scheme, and the view has its colour`, async () => {
    await within({ colorScheme }, async (page) => {
      await page.getByText('All at once').click();
      const text = { name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('no picture') };
      await page.locator('#photos').setInputFiles(text);
      await page.locator('.thumbnail .why').waitFor();
      const found = await page.evaluate(contrasts);
      assert.ok(found.length > 20, `${found.length} texts`);
      const poor = found.filter(({ contrast }) => contrast < CONTRAST);
      assert.deepEqual(poor, []);
      const corner = await background(page);
      const light = (corner[0] + corner[1] + corner[2]) / 3 > 128;
      assert.equal(light, colorScheme === 'light', `the view is ${corner}`);
    });
  });
}

test('photos can be chosen, reconstructed and saved with the keyboard', async () => {
  await within({}, async (page) => {
    await chooseResolution(page, 56);
    const chosen = page.waitForEvent('filechooser');
    await press(page, '#photos', 'Enter');
    await (await chosen).setFiles(photos(3));
    await logged(page, 'update, 3 images');
    await page.getByRole('button', { name: 'Update' }).and(page.locator(':enabled')).waitFor();
    await press(page, '#update', 'Enter');
    await page.locator('#log li', { hasText: 'update, 3 images' }).nth(1).waitFor({
      state: 'attached',
    });
    await press(page, '#finish', 'Space');
    await logged(page, 'final result, 3 images');
    await press(page, '#save > summary', 'Enter');
    const download = page.waitForEvent('download');
    await press(page, '#formats button', 'Enter');
    assert.match((await download).suggestedFilename(), /\.glb$/);
    await press(page, '#new', 'Enter');
    await page.locator('#leave-keep:focus').waitFor();
    await page.keyboard.press('Enter');
    await page.locator('#link[data-link="none"]').waitFor();
  });
});

/** Moves to an element with the tab key, and presses a key there. */
async function press(page, selector, key) {
  const isThere = () =>
    page.evaluate((selector) => document.activeElement?.matches(selector), selector);
  for (let step = 0; !(await isThere()); step += 1) {
    assert.ok(step < 100, `${selector} is not in the tab order`);
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press(key);
}

/** The colour in a corner of the view. */
async function background(page) {
  const picture = await page.locator('#view canvas').screenshot();
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    return [...context.getImageData(3, 3, 1, 1).data];
  }, picture.toString('base64'));
}

/** Runs in the page: whether the middle of an element is seen. */
function isOnTop(element) {
  const { x, y, width, height } = element.getBoundingClientRect();
  return element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}

/** Runs in the page: visible targets that are too small; a target inside a larger one is that one. */
function tooSmall([targets, least]) {
  return [...document.querySelectorAll(targets)]
    .filter((target) => target.checkVisibility() && !target.matches('.visually-hidden'))
    .filter((target) => !target.matches('input') || !target.closest('label'))
    .map((target) => {
      const around = target.matches('input[type="checkbox"]') ? target.closest('.row') : target;
      const { width, height } = (around ?? target).getBoundingClientRect();
      return { target: target.id || target.innerText, width, height };
    })
    .filter(({ width, height }) => width < least || height < least);
}

/** Runs in the page: the contrast of each visible text with its background. */
function contrasts() {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  // Alpha blending by the browser itself.
  const blend = (colors) => {
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (color) => {
    const [red, green, blue] = color
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    const isControl = element.closest('script, style, :disabled, option');
    if (!text.data.trim() || isControl || !element.checkVisibility()) {
      continue;
    }
    const behind = [];
    for (let above = element; above; above = above.parentElement) {
      behind.unshift(getComputedStyle(above).backgroundColor);
    }
    const ground = luminance(blend(['white', ...behind]));
    const ink = luminance(blend(['white', ...behind, getComputedStyle(element).color]));
    const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    found.push({ text: text.data.trim().slice(0, 40), contrast });
  }
  return found;
}
