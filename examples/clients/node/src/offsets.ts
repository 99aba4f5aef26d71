/** Places in a text: the contract counts code points, JavaScript UTF-16 units. */

/**
 * The index in `text` of the code point with number `codePoints`, or of the text's end.
 *
 * Code points above U+FFFF, such as most emoji, are two units in JavaScript. What people take for
 * one character may be several code points (flags, families, letters with combining marks); those
 * need no care here, since the contract does not join them either.
 */
export function utf16Index(text: string, codePoints: number): number {
  let index = 0;
  for (let passed = 0; passed < codePoints && index < text.length; passed++) {
    index += text.codePointAt(index)! > 0xffff ? 2 : 1;
  }
  return index;
}
