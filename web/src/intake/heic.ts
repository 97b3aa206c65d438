/** HEIC photos, which the server reads and most browsers do not. */

/** Bytes in which a file says what it is. */
const HEAD = 64;
const BRANDS = ['heic', 'heix', 'heim', 'heis', 'mif1'];
/** Its files name `mif1`, too. */
const OTHER_BRANDS = ['avif', 'avis'];

/** Whether a file begins as a HEIC file does: with a box `ftyp` of one of its brands. */
export async function isHeic(file: Blob): Promise<boolean> {
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  const text = String.fromCharCode(...head);
  if (text.slice(4, 8) !== 'ftyp') {
    return false;
  }
  const length = new DataView(head.buffer).getUint32(0);
  const brands = text.slice(8, Math.min(length, HEAD)).match(/.{4}/gs) ?? [];
  return (
    brands.some((brand) => BRANDS.includes(brand)) &&
    !brands.some((brand) => OTHER_BRANDS.includes(brand))
  );
}
