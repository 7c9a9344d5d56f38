// The texts that the goldens are made of: every kind of character and run that a pre-tokeniser treats differently.

const english = `The quick brown fox jumps over the lazy dog. It wasn't until 1984 that they'd realised: "We're not alone!" I'll go,
you've seen it, he'd said; she's gone, I'm here, it's O'Reilly's. DON'T SHOUT, THEY'RE LISTENING, I'LL WAIT, WE'VE GONE, HE'D KNOW.
Language models assign probabilities to sequences of tokens. A tokenizer maps text to integers and back; the mapping has to be
exact, because a model that was trained on one segmentation sees another as noise. Numbers such as 3.14159, 1,000,000 and
123456789012 are split in groups. camelCaseIdentifiers, SCREAMING_SNAKE_CASE, kebab-case-words, XMLHttpRequest, iPhone15Pro.`;

const code = `def fib(n: int) -> int:
    """Return the n-th Fibonacci number."""
\tif n < 2:
\t\treturn n
    return fib(n - 1) + fib(n - 2)  # O(2^n)


for (int i = 0; i < 10; ++i) { printf("%d\\n", a[i] ->x); }
public static void Main(string[] args) => Console.WriteLine($"{args.Length,10:N0}");
<div class="a b">&nbsp;</div>   <!-- comment -->
https://example.org/path/to/file.html?query=1&other=%20#fragment
//// ---- ==== **** ____ //\\n\\n`;

const json = '{"order":{"id":1042,"items":[{"name":"widget","qty":3,"price":9.99},{"name":"gadget\\u00e9","qty":-1}],"ok":true,"note":null}}';

export const texts = [
  '', ' ', '  ', '   ', '\n', '\n\n', '\r\n', '\r\n\r\n', '\t', ' \n', '\n ', ' \n ', '  \n\n  ', 'a', ' a', '  a', '   a', 'a ', 'a  ', 'a   b',
  'a\n', 'a\n\n b', 'a \n b', 'a\r\nb\r\n\r\n  c\t\td\n\t\n', '\ta', '\t\ta', ' \ta', 'a\u00a0b', '\u00a0a', '\u00a0\u00a0a', '\u3000\u3000全角', 'x\u0085y\u0085\u0085z',
  'a\u2028b\u2029c', 'a\u200bb', 'a\u180eb', 'a\ufeffb', '\ufeffBOM', 'a\u001cb\u001d\u001e\u001fc', '\u0000\u0001\u0002', 'a\u0000b', '\x7f\x80\x9f', '\u2003em\u2003space',
  "'s", "'S", "'ſ", "'t", "'T", "'re", "'RE", "'rE", "'Ve", "'m", "'ll", "'LL", "'lL", "'d", "'D", "'l", "'r", "'v", "'x", "''s", "'", "''", "'sſ", "'st", "'start", "it'ſ",
  "don't", "DON'T", "don’t", "o'clock", "y'all'd've", "rock 'n' roll", "'tis", "'Re-do", "they'rE'LL", "HELLO'S", "Hello'sWorld", "a'K", "a'K", "x'ss", "'\u0130", "x'\u0131",
  '1', '12', '123', '1234', '12345678', ' 1', ' 1234', '1 2 3', '12,345.678', '٣٤٥٦٧', '१२३४', '１２３４５', 'Ⅷ', '½¼¾', '①②③④', 'x²', 'H₂O', '𝟘𝟙𝟚𝟛', '1a2b3c', 'a1b2', '3rd', '〇一二三',
  '!', '!!', ' !!', '!!!\n', '!!!\r\n\r\nx', '...', ' ...x', '#include <a.h>', '/usr/bin', 'a/b', '//x', '!/\n/', '"\n\n"', '$100', '€5', '(a)', '[b]', '{c}', '<d>', '`e`', '~', '^', '+=', '=>', '|>', '_a_', '-1', '@user',
  'École', 'éclair', 'e\u0301clair', 'naïve café', 'Ａｆｕｌｌ', 'ÀÉÎÕÜ', 'àéîõü', 'ß', 'ẞ', 'ﬁ', 'ǅ', 'ǅa', 'aǅ', 'Aʰb', 'ʰA', 'ªº', 'İstanbul', 'ıi', 'ŒUVRE', 'ſtraſſe', 'Kelvin K', 'ΑΒΓαβγς', 'Привет, мир!', 'ПРИВЕТ', 'ԱԲաբ', 'ႠაᲐ', 'Ꭰꭰ',
  'مرحبا بالعالم', 'مَرْحَبًا', 'שלום עולם', 'שָׁלוֹם', 'नमस्ते दुनिया', 'हिन्दी', 'বাংলা', 'தமிழ்', 'తెలుగు', 'ไทยภาษา', 'ကျေးဇူး', 'ខ្មែរ', 'ລາວ', 'བོད་', 'አማርኛ', 'ქართული', 'ᠮᠣᠩᠭᠣᠯ', 'ᏣᎳᎩ',
  '你好，世界！', '今天天气不错', 'こんにちは世界', 'カタカナとひらがな', 'が', 'か\u3099', '한국어 안녕하세요', '한', '漢字123かな', '𠀀𠀁𪜀', '𠮷野家', '龥龦', 'ヿㄅ', '㐀㐁', '﨎豈',
  '𝒜𝓑𝔠', '𝐇𝐞𝐥𝐥𝐨', '𐐷𐐏', '𐐀𐐨a', 'ab𐐷cd', '𞤀𞤢', '𖹀𖹠', '𐊧𐌀𐌰', '𒀀𒁀', '𓀀𓁐', '🄰🅐', 'Ⓐⓐ', '𑀓𑀼', '𝟏𝒜',
  '😀', '😀😃', ' 😀', '👍🏽', '👨‍👩‍👧‍👦', '🏳️‍🌈', '🇩🇪🇫🇷', '1️⃣2️⃣', '❤️', '☺', '🤷🏽‍♀️ ok', 'a😀b', '😀1', '🧑‍🚀\n', '\u{1F9FF}\u{1FAE8}',
  '\u0301', '\u0301a', 'a\u0301', ' \u0301', '\u0301\u0301A', '\u0301ABC', '\u0301ABCd', 'A\u0301B', 'AB\u0301', 'AB\u0301C', 'a\u0300\u0301\u0316', '\u093f', '1\u0301', '!\u0301', '\n\u0301', '\u20dd', 'x\u20dd', '\u200d', 'a\u200db', '\u00ad', '\u061c', '\ufffd', '\ufffe', '\ue000', '\u{e0001}', '\u{10ffff}',
  'ABCdef', 'abcDEF', 'ABc', 'AbC', 'ABCʰ', 'ʰABC', 'ABʰCD', 'AB中C', 'AB中Cd', '中AB', '中ABc', 'A中b', 'a中B', ' ABC', '-ABC', '-ABCd', '\tABC', '\u0301ʰA', "ABC's", "ABC'S x", "abc'Sx", "中's", '1ABC', 'ABC1', 'ABC/def', 'ab/\n/cd', 'x /\r\n', 'ⅧA', 'Aⅷ',
  'a'.repeat(60), 'ab'.repeat(40), ' '.repeat(30) + 'x', '\n'.repeat(20), '='.repeat(50), '1'.repeat(25), '\t'.repeat(9) + 'y', ' \n'.repeat(10) + ' z', 'é'.repeat(30), '中'.repeat(30),
  'Hello', 'Hello world', ' Hello  world ', 'Hello, world!', 'hello\nworld', 'The the THE', 'antidisestablishmentarianism',
  english, code, json, english.split('\n').join('\r\n'), code.replaceAll('    ', '\u00a0\u00a0'),
];

const alphabet = ['a', 'b', 'c', 'B', 'S', 's', 't', 'T', 'e', 'r', 'R', 'ſ', 'll', "'", "'", "'s", "'RE", ' ', ' ', ' ', '  ', '\n', '\r', '\r\n', '\t', '\u0085', '\u00a0',
  '\u3000', '\u200b', '1', '2', '345', '٣', 'Ⅷ', '½', 'é', 'E', 'e\u0301', '\u0301', '\u093e', 'ǅ', 'ʰ', 'ª', '中', 'の', '한', '𝒜', '𝒶', '𐐷', '𐐏', '𠀀', '🏽', '😀', '‍', '/', '/', '-', '_', '.', ',', '!', '"', '{', '$', '€', '\u001c', '\u0000', '\ufeff', '\u2028'];

/** A small generator (mulberry32), so that a rerun makes the same texts. */
export function random(seed) {
  return () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function fuzz(count, seed) {
  const next = random(seed);
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + Math.floor(next() * 24) }, () => alphabet[Math.floor(next() * alphabet.length)]).join(''));
}

/** Texts of characters from all planes: neighbours of one, and some from anywhere. */
export function anywhere(count, seed, allowed) {
  const next = random(seed);
  return Array.from({ length: count }, () => {
    let text = '';
    const base = allowed[Math.floor(next() * allowed.length)];
    for (let i = 0; i < 16; i++) {
      const near = allowed.indexOf(base) + Math.floor(next() * 80);
      text += String.fromCodePoint(next() < 0.3 ? allowed[Math.floor(next() * allowed.length)] : allowed[near % allowed.length]);
      if (next() < 0.15) text += ' ';
    }
    return text;
  });
}
