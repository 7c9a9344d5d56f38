// The regular expressions of published tokenizers, exactly as their tokenizer.json (or tiktoken) has them.
const spaces = String.raw`|\s*[\r\n]+|\s+(?!\S)|\s+`;
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`, before = String.raw`[^\r\n\p{L}\p{N}]?`;

export const patterns = [
  { name: 'gpt2', sequence: [String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`] },
  { name: 'r50k', sequence: [String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`] },
  { name: 'r50k, possessive', sequence: [String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s`] },
  { name: 'llama3', sequence: [contractions + String.raw`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*` + spaces] },
  { name: 'qwen2', sequence: [contractions + String.raw`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*` + spaces] },
  { name: 'qwen3.5', sequence: [contractions + String.raw`|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` + spaces] },
  { name: 'o200k', sequence: [`${before}${upper}*${lower}+${contractions}?|${before}${upper}+${lower}*${contractions}?` + String.raw`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*` + spaces] },
  { name: 'tekken', sequence: [`${before}${upper}*${lower}+|${before}${upper}+${lower}*` + String.raw`|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*` + spaces] },
  { name: 'deepseek-v3', sequence: [String.raw`\p{N}{1,3}`, '[一-龥぀-ゟ゠-ヿ]+',
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*' + spaces] },
  { name: 'one number', sequence: [String.raw`\p{N}`] },
  { name: 'numbers', sequence: [String.raw`\p{N}+`] },
];
