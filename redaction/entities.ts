/** HTML and XML character references that a log writer produces: ASCII punctuation, Latin-1, and every number. */

import { isWord } from "./mark.ts";

export const ENTITY_NAME_MAX = 12;
/** What a name may go on with besides letters and digits: its end, an escape in it, or a placeholder. */
const NO_LETTERS = new Uint8Array(256);
for (const c of ";\\%&U[") NO_LETTERS[c.charCodeAt(0)] = 1;

const PUNCTUATION =
  "Tab:9 NewLine:10 excl:33 quot:34 QUOT:34 num:35 dollar:36 percnt:37 amp:38 AMP:38 apos:39 lpar:40 rpar:41 ast:42 " +
  "midast:42 plus:43 comma:44 period:46 sol:47 colon:58 semi:59 lt:60 LT:60 equals:61 gt:62 GT:62 quest:63 commat:64 " +
  "lsqb:91 lbrack:91 bsol:92 rsqb:93 rbrack:93 Hat:94 lowbar:95 UnderBar:95 grave:96 lcub:123 lbrace:123 verbar:124 " +
  "vert:124 VerticalLine:124 rcub:125 rbrace:125 hyphen:45 dash:45";
const LATIN_1 =
  "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro " +
  "para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil " +
  "Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave " +
  "Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml " +
  "igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute " +
  "thorn yuml";

const named = new Map<string, number>();
for (const entry of PUNCTUATION.split(" ")) named.set(entry.split(":")[0]!, Number(entry.split(":")[1]));
for (const [i, name] of LATIN_1.split(" ").entries()) named.set(name, 0xa0 + i);

/** The code point of `amp`, `#38` or `#x26`; undefined when there is none. */
export function entityCodePoint(name: string): number | undefined {
  if (!name.startsWith("#")) return named.get(name);
  const digits = /^#(?:[xX]([0-9a-fA-F]{1,8})|([0-9]{1,8}))$/.exec(name);
  if (digits === null) return undefined;
  const code = digits[1] === undefined ? Number(digits[2]) : Number.parseInt(digits[1], 16);
  return code < 0x110000 ? code : undefined;
}

/** Whether a name and a semicolon may follow an ampersand: a quick look that errs on the side of yes. */
export function mayBeEntity(text: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i <= from + ENTITY_NAME_MAX; i++) {
    if (i >= to) return true;
    const c = text[i]!;
    if (NO_LETTERS[c] === 1) return true;
    if (!isWord(c) && c !== 0x23) return false;
  }
  return false;
}
