// From logits to the next token (definitions in include/adze/sampling.h)
//
// A logit is turned into a key, an unsigned number of the same order (0: forbidden or -inf), and a mass, its weight
// exp((logit - largest) / temperature) in fixed point: integers add up to the same whatever the order, so a draw
// depends on nothing but its row. A filter keeps the tokens down to a last one in the order (logit falling, id rising),
// which is found without sorting the row. A thread holds 16 tokens in registers.
//
// SampleRow        rows of up to 16 tokens a thread: a block a row, everything in registers. Reads V once.
// SampleParts      longer rows, first reading: a block for each part of 8192 tokens notes the largest logit and, as the
//                  row's parameters ask, the mass of each warp's tokens (no filter), the k first tokens (a top_k of
//                  which one block can hold k tokens of every part), or the 64 first tokens and samples of the sorted
//                  part.
// SampleMerged     a block a row samples from those notes if it can: always where nothing filters (of the segment that
//                  is drawn, 256 tokens, 512 where warps have 64 lanes, it reads the logits) and for such a top_k; else
//                  if the last kept token is above the first tokens' ends.
// SampleSearch     rows that are not settled, a block a row: the samples bound between which two places in order the
//                  last kept token lies.
// SampleRanges     second reading of such rows: a block for each part lists the tokens between those places, and adds
//                  up exactly, relative to the row's largest, what lies above them and below.
// SampleSettled    a block a row verifies by these sums that the last kept token is among the listed, finds it, and
//                  draws as SampleMerged does. Where it is not, the block goes over the row itself, 16 times and more:
//                  slow, but right.
//
// A sample is noted every 128 tokens in order (64 where top_k and top_p both filter: their ranges add up), and where
// masses shrink to a quarter: between two places that samples cannot tell apart lie at most some two gaps a part,
// whatever the logits are, ties included, since places tell ids too. (Where one part has few heavy tokens and others
// have many of a quarter of their mass, it can be more. Beyond 8192 tokens, or 2048 of a part, and from a vocabulary of
// 278529 on, it is the slow way.)
//
// Floor: V logits, their mask; where a filter keeps more than is listed, twice. Bytes beyond it, of a part of 8192
// tokens, 16 KB in 16 bits, written and read again: of no filter, 128 for the segments; of top_k, k tokens of 4 (6 in
// 32 bits); of other filters 64 such tokens and some 80 samples of 12 (top_k: 64 of 8), and in the second reading some
// 200 tokens, 32 segments, 32 marks of theirs. Sorting a part takes 91 rounds, by count 8500 instructions a warp:
// where four warps issue at once, 34000 cycles or about 25 us, estimated and not measured. So for filters other than a
// small top_k the first reading is bound by the sort, and not by memory, once parts outnumber multiprocessors.
#pragma once

#include "sampling/sampling_merge.cuh"
#include "sampling/sampling_parts.cuh"
#include "sampling/sampling_row.cuh"
