// Makes the goldens of tests/managed/Adze.Text.Tests from tokenizers that are not ours:
//
//   npm install --prefix /tmp/goldens --ignore-scripts tiktoken@1.0.22 tokenizers@0.23.2 llama-tokenizer-js@1.2.2
//   node make.mjs /tmp/goldens && python3 make-normalization-goldens.py
//
// tiktoken is OpenAI's (Rust, compiled to WebAssembly), tokenizers is Hugging Face's (Rust). Only data comes from them.
// Vocabularies are too large for git, so a golden carries a reduced one: all bytes, and the tokens that occur anywhere in its
// texts' pieces. No other token can take part in any step of merging, so the ids are those of the whole vocabulary; and
// the reduced tokenizer.json is checked here against Hugging Face's own reading of it.

import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import { texts, fuzz, anywhere } from './texts.mjs';
import { patterns } from './patterns.mjs';
import { components } from './components.mjs';

const packages = process.argv[2] ?? '/tmp/goldens';
const require = createRequire(packages + '/package.json');
const { Tokenizer: Reference } = require('tokenizers');
const { Tiktoken } = require('tiktoken/lite');
const here = new URL('.', import.meta.url).pathname;
const utf8 = new TextEncoder();

const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const escaped = s => s.replace(/[\u007f-\u00a0\u00ad\u0300-\u036f\u061c\u180e\u2000-\u200f\u2028-\u202f\u2060-\u206f\u3000\ue000-\uf8ff\ufe00-\ufe0f\ufeff\ufff0-\uffff]/g,
  c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
const write = (name, lines) => {
  writeFileSync(here + name, escaped(lines) + '\n');
  console.log(name, lines.length);
};
const list = items => '[\n' + items.map(item => '  ' + JSON.stringify(item)).join(',\n') + '\n]';

// --- tiktoken encodings -------------------------------------------------------------------------------------------------------

const byteChars = (() => {
  const chars = [];
  let next = 256;
  for (let b = 0; b < 256; b++)
    chars.push(String.fromCharCode((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174) ? b : next++));
  return chars;
})();
const spell = latin => [...latin].map(c => byteChars[c.charCodeAt(0)]).join('');
const latin = bytes => String.fromCharCode(...bytes); // a byte string as a JavaScript string

function ranksOf(encoding) {
  const ranks = new Map();
  for (const line of encoding.bpe_ranks.split('\n')) {
    if (!line) continue;
    const [, offset, ...tokens] = line.split(' ');
    tokens.forEach((token, i) => ranks.set(Buffer.from(token, 'base64').toString('latin1'), Number(offset) + i));
  }
  return ranks;
}

/** The tokens that occur in any of the pieces, and the merges that make them. */
function reduce(ranks, pieces) {
  const kept = new Map();
  for (let b = 0; b < 256; b++) kept.set(String.fromCharCode(b), ranks.get(String.fromCharCode(b)));
  for (const piece of pieces) {
    const bytes = latin(utf8.encode(piece));
    for (let i = 0; i < bytes.length; i++)
      for (let j = i + 2; j <= Math.min(bytes.length, i + 128); j++) {
        const part = bytes.slice(i, j);
        if (ranks.has(part)) kept.set(part, ranks.get(part));
      }
  }
  const tokens = [...kept].sort((a, b) => a[1] - b[1]);
  const merges = [];
  for (const [token] of tokens)
    for (let i = 1; i < token.length; i++)
      if (kept.has(token.slice(0, i)) && kept.has(token.slice(i)))
        merges.push([spell(token.slice(0, i)), spell(token.slice(i))]);
  return { vocab: Object.fromEntries(tokens.map(([token, id]) => [spell(token), id])), merges };
}

function piecesOf(pattern, cases) {
  const split = Reference.fromString(JSON.stringify({
    version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, post_processor: null, decoder: null,
    pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
  })).getPreTokenizer();
  return cases.map(text => split.preTokenizeString(text).map(([piece]) => piece));
}

async function tiktokenGolden(name, preTokenizer, arrays) {
  const encoding = require(`tiktoken/encoders/${name}.json`);
  const tiktoken = new Tiktoken(encoding.bpe_ranks, encoding.special_tokens, encoding.pat_str);
  const cases = [...texts, ...fuzz(150, 7), 'a<|endoftext|>b', '<|endoftext|><|endoftext|>', ' <|endoftext|> '];
  const pieces = piecesOf(encoding.pat_str, cases.map(text => text.replaceAll('<|endoftext|>', ' '))).flat();
  const { vocab, merges } = reduce(ranksOf(encoding), [...pieces, 'a', 'b', '<|end']);
  const tokenizer = {
    version: '1.0', truncation: null, padding: null,
    added_tokens: Object.entries(encoding.special_tokens).map(([content, id]) =>
      ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: null, pre_tokenizer: preTokenizer(encoding.pat_str), post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false,
      byte_fallback: false, ignore_merges: true, vocab, merges: arrays ? merges : merges.map(pair => pair.join(' ')),
    },
  };
  const rows = [];
  for (const text of cases) {
    const ids = [...tiktoken.encode(text, 'all')];
    rows.push({ text, ids });
  }
  await checkAgainstReference(name, tokenizer, rows);
  const decoded = Buffer.from(tiktoken.decode(Uint32Array.from(rows[rows.length - 1].ids))).toString();
  if (decoded !== cases.at(-1)) throw new Error(`${name} does not decode`);
  write(`${name}.json`, `{"tokenizer":${JSON.stringify(tokenizer)},\n"cases":${list(rows)}}`);
}

async function checkAgainstReference(name, tokenizer, rows) {
  // The reference numbers added tokens on its own where ids have holes; only ids of the model are compared.
  const dense = structuredClone(tokenizer);
  dense.added_tokens = [];
  const reference = Reference.fromString(JSON.stringify(dense));
  for (const { text, ids } of rows) {
    if (text.includes('<|endoftext|>')) continue;
    const theirs = (await reference.encode(text, null, { addSpecialTokens: false })).getIds();
    if (!same(theirs, ids)) console.log(`${name}: tiktoken and tokenizers differ on ${JSON.stringify(text)}: ${ids} | ${theirs}`);
  }
}

const byteLevel = useRegex => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex });
const splitThenBytes = pattern => ({
  type: 'Sequence',
  pretokenizers: [{ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }, byteLevel(false)],
});

// --- pieces by pattern, classes of all characters -----------------------------------------------------------------------------

function patternGolden(allowed) {
  const cases = [...texts, ...fuzz(300, 11), ...anywhere(120, 13, allowed)];
  const rows = patterns.map(({ name, sequence }) => {
    const split = Reference.fromString(JSON.stringify({
      version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, post_processor: null, decoder: null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: sequence.map(Regex => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
      },
      model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
    })).getPreTokenizer();
    const lengths = cases.map(text => (text === '' ? [] : split.preTokenizeString(text).map(([piece]) => piece.length)));
    lengths.forEach((row, i) => {
      if (row.reduce((a, b) => a + b, 0) !== cases[i].length) throw new Error(`${name} loses text`);
    });
    return `{"name":${JSON.stringify(name)},"sequence":${JSON.stringify(sequence)},"lengths":${list(lengths)}}`;
  });
  write('patterns.json', `{"texts":${list(cases)},\n"patterns":[${rows.join(',\n')}]}`);
}

function assignedIn(pattern) {
  const points = [];
  for (let cp = 0; cp <= 0x10ffff; cp++)
    if (!(cp >= 0xd800 && cp <= 0xdfff) && pattern.test(String.fromCodePoint(cp))) points.push(cp);
  return points;
}

/** For each class the characters in it, as [first, count, first, count, ...], by tiktoken's and by tokenizers' regex engine. */
function classGolden() {
  const classes = {
    Letter: '\\p{L}', Mark: '\\p{M}', Number: '\\p{N}', Space: '\\s', Upper: '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]',
    Lower: '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]', Symbol: '[\\p{P}\\p{S}]', Word: '\\w',
  };
  const bytes = Array.from({ length: 256 }, (_, b) => Buffer.from([b]).toString('base64')).join(' ');
  const all = assignedIn(/[^]/u);
  const rows = Object.entries(classes).map(([name, pattern]) => {
    const tiktoken = new Tiktoken(`! 0 ${bytes}`, {}, pattern); // drops what its pattern does not match
    const points = [];
    for (let i = 0; i < all.length; i += 0x4000) {
      const text = String.fromCodePoint(...all.slice(i, i + 0x4000));
      const matched = Buffer.from(tiktoken.encode(text)).toString();
      for (const c of matched) points.push(c.codePointAt(0));
    }
    const ranges = [];
    for (const cp of points)
      if (ranges.length && ranges.at(-2) + ranges.at(-1) === cp) ranges[ranges.length - 1]++;
      else ranges.push(cp, 1);
    return `"${name}":${JSON.stringify(ranges)}`;
  });
  write('classes.json', `{${rows.join(',\n')}}`);
}

// --- Llama 2, and the parts one by one ---------------------------------------------------------------------------------------

async function llamaGolden() {
  const { default: llama } = await import(packages + '/node_modules/llama-tokenizer-js/llama-tokenizer.js');
  const cases = [...texts.filter(text => text.length > 0), ...fuzz(100, 17)];
  const kept = new Set(llama.vocabById.slice(0, 259));
  for (const text of cases) {
    const chars = [...('▁' + text.replaceAll(' ', '▁'))];
    for (let i = 0; i < chars.length; i++)
      for (let j = i + 1; j <= Math.min(chars.length, i + 48); j++) {
        const part = chars.slice(i, j).join('');
        if (llama.vocabByString.has(part)) kept.add(part);
      }
  }
  const vocab = Object.fromEntries(llama.vocabById.map((token, id) => [token, id]).filter(([token]) => kept.has(token)));
  const merges = [...llama.merges].sort((a, b) => a[1] - b[1]).map(([pair]) => pair)
    .filter(pair => pair.split(' ').every(part => kept.has(part)) && kept.has(pair.replace(' ', '')));
  const special = (id, content) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
  const tokenizer = {
    version: '1.0', truncation: null, padding: null, added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 }],
    },
    model: {
      type: 'BPE', dropout: null, unk_token: '<unk>', continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: true,
      byte_fallback: true, vocab, merges,
    },
  };
  const reference = Reference.fromString(JSON.stringify(tokenizer));
  const rows = [];
  for (const text of cases) {
    const ids = llama.encode(text);
    const theirs = (await reference.encode(text, null, { addSpecialTokens: true })).getIds();
    if (!same(ids, theirs)) console.log(`llama2: llama-tokenizer-js and tokenizers differ on ${JSON.stringify(text)}: ${ids} | ${theirs}`);
    if (await reference.decode(ids, true) !== text) console.log(`llama2: ${JSON.stringify(text)} does not come back`);
    rows.push({ text, ids });
  }
  write('llama2.json', `{"tokenizer":${JSON.stringify(tokenizer)},\n"cases":${list(rows)}}`);
}

async function componentGolden() {
  const rows = [];
  for (const { name, tokenizer, encode = [], decode = [], noDecode = false } of components) {
    const reference = Reference.fromString(JSON.stringify(tokenizer));
    const row = { name, tokenizer, encode: [], decode: [] };
    for (const text of encode)
      for (const special of [true, false])
        row.encode.push({ text, special, ids: (await reference.encode(text, null, { addSpecialTokens: special })).getIds() });
    if (!noDecode) for (const ids of [...decode, ...row.encode.filter(e => e.special).map(e => e.ids)])
      for (const skip of [true, false]) row.decode.push({ ids, skip, text: await reference.decode(ids, skip) });
    rows.push(row);
  }
  write('components.json', list(rows));
}

const allowed = assignedIn(/[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]/u);
await tiktokenGolden('gpt2', () => byteLevel(true), false);
await tiktokenGolden('cl100k_base', splitThenBytes, true);
await tiktokenGolden('o200k_base', splitThenBytes, true);
patternGolden(allowed);
classGolden();
await llamaGolden();
await componentGolden();
