// Writes src/Adze.Text/normalization.txt: what Unicode normalisation needs, asked of node's own ICU.
// (.NET does not normalise under InvariantGlobalization: string.Normalize returns its input.)
//
//   node make-normalization.mjs > ../../../src/Adze.Text/normalization.txt
//
// Combining classes are not exposed by JavaScript; they follow from how NFD reorders a mark against marks of known class.

const known = { // one mark of each non-zero combining class
  1: 0x334, 6: 0x16FF0, 7: 0x93C, 8: 0x3099, 9: 0x94D, 10: 0x5B0, 11: 0x5B1, 12: 0x5B2, 13: 0x5B3, 14: 0x5B4, 15: 0x5B5,
  16: 0x5B6, 17: 0x5B7, 18: 0x5B8, 19: 0x5B9, 20: 0x5BB, 21: 0x5BC, 22: 0x5BD, 23: 0x5BF, 24: 0x5C1, 25: 0x5C2,
  26: 0xFB1E, 27: 0x64B, 28: 0x64C, 29: 0x64D, 30: 0x64E, 31: 0x64F, 32: 0x650, 33: 0x651, 34: 0x652, 35: 0x670,
  36: 0x711, 84: 0xC55, 91: 0xC56, 103: 0xE38, 107: 0xE48, 118: 0xEB8, 122: 0xEC8, 129: 0xF71, 130: 0xF72, 132: 0xF74,
  202: 0x321, 214: 0x1DCE, 216: 0x31B, 218: 0x302A, 220: 0x316, 222: 0x59A, 224: 0x302E, 226: 0x1D16D, 228: 0x5AE,
  230: 0x300, 232: 0x315, 233: 0x35C, 234: 0x35D, 240: 0x345,
};
const classes = Object.entries(known).map(([n, cp]) => [Number(n), String.fromCodePoint(cp)]);

function combiningClass(c) {
  if (c.normalize('NFD') !== c) return 0; // its parts have classes, it itself is looked up after decomposition
  let seen = false;
  for (const [n, m] of classes) {
    const before = (c + m).normalize('NFD') === m + c && c !== m; // class of c is above n
    const after = (m + c).normalize('NFD') === c + m && c !== m;  // class of c is below n
    if (before || after) seen = true;
  }
  if (!seen) return 0;
  for (const [n, m] of classes)
    if ((c + m).normalize('NFD') === c + m && (m + c).normalize('NFD') === m + c) return n;
  throw new Error('no class for U+' + c.codePointAt(0).toString(16));
}

const hex = s => [...s].map(c => c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')).join(' ');
const lines = [], runs = [];
for (let cp = 0; cp <= 0x10FFFF; cp++) {
  if (cp >= 0xD800 && cp <= 0xDFFF) continue;
  if (cp >= 0xAC00 && cp <= 0xD7A3) continue; // Hangul syllables are arithmetic
  const c = String.fromCodePoint(cp);
  if (/\p{M}/u.test(c)) {
    const n = combiningClass(c);
    const last = runs.at(-1);
    if (n !== 0) {
      if (last && last[1] === cp - 1 && last[2] === n) last[1] = cp;
      else runs.push([cp, cp, n]);
    }
  }
  const nfd = c.normalize('NFD'), nfkd = c.normalize('NFKD');
  if (nfd !== c) lines.push(`${nfd.normalize('NFC') === c ? '=' : '>'} ${hex(c)} ${hex(nfd)}`);
  if (nfkd !== nfd) lines.push(`~ ${hex(c)} ${hex(nfkd)}`);
}
const codePoint = n => n.toString(16).toUpperCase().padStart(4, '0');
console.log(`# Unicode ${process.versions.unicode} normalisation data, from ICU ${process.versions.icu} by tests/reference/text/make-normalization.mjs.
# Derived from the Unicode Character Database, (c) Unicode, Inc., https://www.unicode.org/license.txt
# c FIRST LAST CLASS   combining class;  = X A B..  X decomposes to A B.. and composes again;
# > X A B..            decomposes only;  ~ X A B..  compatibility decomposition, where it differs.  All are full decompositions.`);
for (const [a, b, n] of runs) console.log(`c ${codePoint(a)} ${codePoint(b)} ${n}`);
console.log(lines.join('\n'));
