// Small tokenizer.json files, each for one part or a mix of parts, with texts and ids that show what the part does.
// Their ids are dense, because the reference numbers added tokens itself: after the vocabulary, in the order given.

const added = (id, content, flags = {}) =>
  ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...flags });
const special = (id, content, flags = {}) => added(id, content, { special: true, ...flags });

/** A vocabulary: first the listed tokens, then what the merges make. */
function model(tokens, merges, options = {}) {
  const vocab = {};
  for (const token of tokens) vocab[token] ??= Object.keys(vocab).length;
  for (const [a, b] of merges) vocab[a + b] ??= Object.keys(vocab).length;
  return {
    type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false,
    byte_fallback: false, ignore_merges: false, vocab, merges, ...options,
  };
}

const tokenizer = (parts) => ({
  version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null,
  decoder: null, ...parts,
});

const byteChars = [];
for (let b = 0, next = 256; b < 256; b++)
  byteChars.push(String.fromCharCode((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174) ? b : next++));
const byteTokens = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
const ascii = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?\'-/<>|[]_"'];

const words = [['h', 'e'], ['l', 'l'], ['l', 'o'], ['he', 'll'], ['hell', 'o'], ['w', 'o'], ['r', 'l'], ['wo', 'rl'], ['worl', 'd'], ['t', 'h'], ['th', 'e'], ['i', 'n']];
const metaWords = [...words, ['▁', 'hello'], ['▁', 'worl'], ['▁worl', 'd'], ['▁', 'the'], ['▁', '▁'], ['▁▁', '▁▁'], ['▁', 'a']];
const byteWords = [...words, ['Ġ', 'hello'], ['Ġ', 'world'], ['Ġ', 'the'], ['Ġ', 'Ġ'], ['ĠĠ', 'ĠĠ'], ['Ã', '©'], ['Ċ', 'Ċ'], ["'", 's'], ['1', '2'], ['12', '3']];

const byteModel = options => model(byteChars, byteWords, options);
const byteCount = Object.keys(byteModel().vocab).length;
const metaModel = options => model(['<unk>', '<s>', '</s>', ...byteTokens, '▁', ...ascii], metaWords, { unk_token: '<unk>', fuse_unk: true, byte_fallback: true, ...options });
const metaCount = Object.keys(metaModel().vocab).length;
const unkModel = options => model(['<unk>', '▁', ...ascii], metaWords, { unk_token: '<unk>', ...options });

const byteLevel = (add_prefix_space = false, use_regex = true) => ({ type: 'ByteLevel', add_prefix_space, trim_offsets: true, use_regex });
const replace = (a, b) => ({ type: 'Replace', pattern: { String: a }, content: b });
const llamaNormalizer = { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace(' ', '▁')] };
const llamaDecoder = { type: 'Sequence', decoders: [replace('▁', ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] };
const sequence = pretokenizers => ({ type: 'Sequence', pretokenizers });
const split = (pattern, behavior, invert = false) => ({ type: 'Split', pattern, behavior, invert });
const template = (single, tokens) => ({
  type: 'TemplateProcessing',
  single: single.map(x => (x === 'A' ? { Sequence: { id: 'A', type_id: 0 } } : { SpecialToken: { id: x, type_id: 0 } })),
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: Object.fromEntries(Object.entries(tokens).map(([id, ids]) => [id, { id, ids, tokens: ids.map(() => id) }])),
});

const plain = ['', 'hello', 'hello world', ' hello', '  hello  world  ', 'the hello', "it's the world", 'hello\n\nthe', '123 1234', 'café', 'a b', '   '];
const marked = ['<s>', 'a<s>b', 'hello <s> world', '<s><s>', '<s>hello</s>', 'hello<s>', '<s> hello', '<s', 's>', 'x<s>\n<s> y', ' <s>'];
const metaSpecials = [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')];

const inWords = ['<t>', 'a <t> b', 'a<t>b', 'a <t>b', 'a<t> b', '.<t>.', '<t><t>', '_<t>', '1<t>', 'é<t> ', 'a\n <t>\t\n b', '  <t>  ', ' <t> <t> ', '-<t>-', 'Ⓐ<t>', '\u200d<t>', '𝒜<t>', '<t>𝒜', '<t>\u0301', '½<t>', 'Ⅷ<t>'];
const flagged = flags => ({
  tokenizer: tokenizer({ model: byteModel(), added_tokens: [added(byteCount, '<t>', flags)], pre_tokenizer: byteLevel(), decoder: byteLevel() }),
  encode: inWords,
});

export const components = [
  { name: 'byte level', tokenizer: tokenizer({ model: byteModel(), pre_tokenizer: byteLevel(), decoder: byteLevel() }), encode: plain, decode: [[195], [195, 169], [226, 130], [255, 254, 65], [9999]] },
  { name: 'byte level with prefix space', tokenizer: tokenizer({ model: byteModel(), pre_tokenizer: byteLevel(true), decoder: byteLevel(true), added_tokens: [special(byteCount, '<s>')] }), encode: [...plain, ...marked] },
  { name: 'byte level without regex', tokenizer: tokenizer({ model: byteModel(), pre_tokenizer: byteLevel(false, false), decoder: byteLevel() }), encode: plain },
  { name: 'byte level, prefix space after split', tokenizer: tokenizer({ model: byteModel(), pre_tokenizer: sequence([split({ String: 'o' }, 'Isolated'), byteLevel(true, false)]), decoder: byteLevel() }), encode: plain },
  { name: 'ignore merges', tokenizer: tokenizer({ model: model([...byteChars, 'hello', 'Ġhellos', 'oddity'], [['h', 'e'], ['o', 'd']], { ignore_merges: true }), pre_tokenizer: byteLevel(), decoder: byteLevel(), added_tokens: [added(261, 'worldly', { single_word: true })] }), encode: ['hello', ' hellos', 'oddity hello', 'oddities', 'hellos', 'worldly', 'worldly!', 'aworldly', '1worldly'] },
  { name: 'do not ignore merges', tokenizer: tokenizer({ model: model([...byteChars, 'hello', 'Ġhellos', 'oddity'], [['h', 'e'], ['o', 'd']]), pre_tokenizer: byteLevel(), decoder: byteLevel() }), encode: ['hello', ' hellos', 'oddity hello', 'oddities', 'hellos'] },
  { name: 'merge order', tokenizer: tokenizer({ model: model([...'abcd'], [['b', 'c'], ['a', 'b'], ['ab', 'c'], ['a', 'bc'], ['c', 'd'], ['a', 'a'], ['aa', 'aa'], ['aa', 'a']]) }), encode: ['abc', 'abcd', 'ababcd', 'cdcd', 'aaa', 'aaaa', 'aaaaa', 'a'.repeat(43), 'ab'.repeat(30), 'abc'.repeat(25) + 'aaa'] },
  { name: 'repeated merge', tokenizer: tokenizer({ model: model([...'abc'], [['a', 'b'], ['b', 'c'], ['a', 'b']]) }), encode: ['abc', 'ab', 'abcabc'] },
  { name: 'unknown', tokenizer: tokenizer({ model: unkModel() }), encode: ['hello', 'é', 'éé', 'aéèb', 'é a'], decode: [[1, 2, 3]] },
  { name: 'unknown, fused', tokenizer: tokenizer({ model: unkModel({ fuse_unk: true }) }), encode: ['hello', 'é', 'éé', 'aéèb', 'éaé'] },
  { name: 'bytes where all are there', tokenizer: tokenizer({ model: unkModel({ byte_fallback: true, vocab: { '<unk>': 0, a: 1, '<0xC3>': 2, '<0xA9>': 3, b: 4 }, merges: [] }) }), encode: ['aéb', 'aèb', 'éé'] },
  { name: 'llama 2', tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials, normalizer: llamaNormalizer, decoder: llamaDecoder, post_processor: template(['<s>', 'A'], { '<s>': [1] }) }), encode: [...plain, ...marked, '你好', '😀', 'naïve'],
    decode: [[], [1], [259 + 0], [260], [259, 259], [259, 260], [1, 259, 260], [35], [35, 260], [0xC3 + 3, 0xA9 + 3], [0xE2 + 3, 0x82 + 3], [0xC3 + 3, 260], [260, 0xFF + 3, 261], [0x41 + 3], [260, 261, 2]] },
  { name: 'llama 2 with template around', tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials, normalizer: llamaNormalizer, decoder: llamaDecoder, post_processor: template(['<s>', '<s>', 'A', '</s>'], { '<s>': [1], '</s>': [2, 2] }) }), encode: ['', 'hello', '</s>'] },
  ...['always', 'first', 'never'].flatMap(prepend_scheme => [true, false].map(cut => ({
    name: `metaspace ${prepend_scheme} ${cut}`,
    tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials, pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme, split: cut }, decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme, split: cut } }),
    encode: [...plain, ...marked, '▁hello', 'a▁▁b'], decode: [[259, 260], [1, 259, 260], [259, 259], []],
  }))),
  ...[{ add_prefix_space: true }, { add_prefix_space: false, prepend_scheme: 'never' }].map(flags => ({
    name: `metaspace, old, ${flags.add_prefix_space}`,
    tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials, pre_tokenizer: { type: 'Metaspace', replacement: '▁', ...flags }, decoder: { type: 'Metaspace', replacement: '▁', ...flags } }),
    encode: [...plain, ...marked],
  })),
  { name: 'gemma', tokenizer: tokenizer({ model: metaModel(), added_tokens: [...metaSpecials, added(metaCount, '\n\n'), added(metaCount + 1, '[hi]', { normalized: true })], normalizer: replace(' ', '▁'), pre_tokenizer: split({ String: ' ' }, 'MergedWithPrevious'), decoder: { type: 'Sequence', decoders: [replace('▁', ' '), { type: 'ByteFallback' }, { type: 'Fuse' }] } }), encode: [...plain, 'a\n\nb', 'a\n\n\nb', 'a[hi] b'] },
  ...['Isolated', 'Removed', 'Contiguous', 'MergedWithPrevious', 'MergedWithNext'].flatMap(behavior => [false, true].map(invert => ({
    name: `split ${behavior} ${invert}`,
    tokenizer: tokenizer({ model: model([...'ab123 '], [['a', 'b'], ['1', '1'], ['1', 'a'], ['a', '1'], ['11', 'a'], ['a', '11'], [' ', 'a'], ['b', ' '], ['11', '11'], ['1', ' '], [' ', '1']]), pre_tokenizer: split({ Regex: '\\p{N}' }, behavior, invert) }),
    encode: ['a1b', '11a', 'ab11', '1', '11', 'a', '11a11', '1 1', 'a 1 a', ' 1', 'ab1111ab'],
  }))),
  ...[true, false].map(individual_digits => ({
    name: `digits ${individual_digits}`,
    tokenizer: tokenizer({ model: byteModel(), pre_tokenizer: sequence([{ type: 'Digits', individual_digits }, byteLevel()]), decoder: byteLevel() }),
    encode: ['123', 'a123b', '1 2', ' 123', '½12', '①١', "it's 12"],
  })),
  { name: 'metaspace after digits, first only', tokenizer: tokenizer({ model: metaModel(), pre_tokenizer: sequence([{ type: 'Digits', individual_digits: true }, { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true }]) }), encode: ['1a', 'a1', 'hello 12', ' 1'] },
  { name: 'token', ...flagged({}) },
  { name: 'token, single word', ...flagged({ single_word: true }) },
  { name: 'token, lstrip', ...flagged({ lstrip: true }) },
  { name: 'token, rstrip', ...flagged({ rstrip: true }) },
  { name: 'token, both strips, single word', ...flagged({ lstrip: true, rstrip: true, single_word: true }) },
  { name: 'token, normalized', ...flagged({ normalized: true }) },
  { name: 'longest token', tokenizer: tokenizer({ model: byteModel(), added_tokens: ['<a', '<a>', '<a><b>', 'b>', '  ', '    '].map((content, i) => added(byteCount + i, content)), pre_tokenizer: byteLevel(), decoder: byteLevel() }), encode: ['<a', '<a>', '<a><b', '<a><b>', '<a><', 'a<b>', '      x', '   '] },
  { name: 'lower case, normalized tokens', tokenizer: tokenizer({ model: byteModel(), normalizer: { type: 'Lowercase' }, added_tokens: [added(byteCount, '[ABC]', { normalized: true }), added(byteCount + 1, '[DEF]'), special(byteCount + 2, '[ABC'), added(byteCount + 3, 'THE', { normalized: true, single_word: true })], pre_tokenizer: byteLevel(), decoder: byteLevel() }), encode: ['HELLO World', '[ABC]', '[abc]', '[DEF]', '[def]', '[Abc', 'THE the tHe theory', 'İSTANBUL ΑΣ ẞ K', 'ÀÉÎ ЖЩ 𐐀'] },
  { name: 'strip both', tokenizer: tokenizer({ model: byteModel(), normalizer: { type: 'Strip', strip_left: true, strip_right: true }, pre_tokenizer: byteLevel(), decoder: byteLevel(), added_tokens: [special(byteCount, '<s>')] }), encode: [' hello ', '\n\t hello\u3000', '   ', ' hello <s> world ', '\u200bhello\u0085'] },
  { name: 'strip left', tokenizer: tokenizer({ model: byteModel(), normalizer: { type: 'Strip', strip_left: true, strip_right: false }, pre_tokenizer: byteLevel(), decoder: byteLevel() }), encode: [' hello ', '   '] },
  ...['NFC', 'NFD', 'NFKC', 'NFKD'].map(type => ({
    name: type, tokenizer: tokenizer({ model: byteModel(), normalizer: { type }, pre_tokenizer: byteLevel(), decoder: byteLevel(), added_tokens: [added(byteCount, '豈豈', { normalized: true }), added(byteCount + 1, 'ﬁ')] }),
    encode: ['é', 'e\u0301', 'Å', 'Å', 'A\u030a', '豈豈', '\u8c48豈', '豈豈豈', 'ﬁ', 'ﬀ', '①', 'a\u0316\u0301', 'a\u0301\u0316', '한', '\u1112\u1161\u11ab', 'が', 'か\u3099', '\u0958', 'ſ\u0323\u0307', '豈', '㎏', 'ｶﾞ'],
  })),
  { name: 'sequence of normalizers', tokenizer: tokenizer({ model: byteModel(), normalizer: { type: 'Sequence', normalizers: [{ type: 'NFKC' }, { type: 'Lowercase' }, { type: 'Strip', strip_left: true, strip_right: true }, replace('ll', 'LL'), { type: 'Prepend', prepend: '>' }] }, pre_tokenizer: byteLevel(), decoder: byteLevel() }), encode: [' HELLO ﬁ ', '', ' ', 'ＡＢＣ'] },
  { name: 'templates in sequence', tokenizer: tokenizer({ model: byteModel(), added_tokens: [special(byteCount, '<a>'), special(byteCount + 1, '<b>')], pre_tokenizer: byteLevel(), decoder: byteLevel(), post_processor: { type: 'Sequence', processors: [byteLevel(), template(['<a>', 'A', '<b>'], { '<a>': [byteCount], '<b>': [byteCount + 1] })] } }), encode: ['', 'hello', 'hello<a>'] },
  { name: 'tokens of letters in the byte alphabet', noDecode: true /* a known fault, huggingface/tokenizers#1392 */, tokenizer: tokenizer({ model: byteModel(), added_tokens: [added(0xC5, 'Å'), added(byteCount, 'ilÖveyou'), added(byteCount + 1, 'Öl', { normalized: true }), special(byteCount + 2, '<é>'), added(byteCount + 3, '｜▁é')], pre_tokenizer: byteLevel(), decoder: byteLevel() }), encode: ['Å', 'ilÖveyou', 'Öl', '<é>', 'x｜▁é', 'Ö'] },
  { name: 'normalized tokens under Prepend', tokenizer: tokenizer({ model: metaModel(), added_tokens: [...metaSpecials, added(metaCount, '[x]', { normalized: true }), added(metaCount + 1, 'two words', { normalized: true })], normalizer: llamaNormalizer, decoder: llamaDecoder }), encode: ['[x]', 'a [x]', '[x] [x]', 'a two words', 'two words'] },
  { name: 'no decoder', tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials }), encode: ['hello', 'hello<s>'], decode: [[260], [260, 1, 261], []] },
  { name: 'decoder that only fuses', tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials, decoder: { type: 'Fuse' } }), encode: ['hello', 'hello<s>'], decode: [[260, 1, 261], [68]] },
  { name: 'strip on each token', tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials, decoder: { type: 'Sequence', decoders: [replace('▁', ' '), { type: 'Strip', content: ' ', start: 1, stop: 1 }] } }), encode: [], decode: [['▁hello', '▁▁', '▁▁▁▁', '▁a'].map(token => metaModel().vocab[token])] },
  { name: 'strip three in front', tokenizer: tokenizer({ model: metaModel(), added_tokens: metaSpecials, decoder: { type: 'Sequence', decoders: [replace('▁', ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 3, stop: 0 }] } }), encode: [], decode: [[259, 259, 259, 259, 260], [259, 260, 259], [35, 35, 35, 35, 260], [1, 259, 260]] },
];
