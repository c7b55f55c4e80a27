// The compute core: one matrix's blocks, activations in, results out. What it reads in order (index entries, weight
// words, channel constants) comes through anything that has a read(): streams between the processes of the Vitis
// kernel, arrays where the core stands alone.
#pragma once

#include "arithmetic.hpp"
#include "design.hpp"
#include "images.hpp"
#include "pragmas.hpp"

namespace engine {

#if CODESIGN_SIMULATION
/// Trips of the pipelined loop that the last matrix took. One trip is one cycle of the array at II = 1.
extern long long trips_taken;
#endif

/// The activation behind the matrix, where it has one: a table of 256 results, entry 0 for −128.
inline value_t activate(value_t value, bool used, int number, ap_uint<1> which) {
  HLS_INLINE
  HLS_STORAGE(tables, rom_np, bram)
  if (TABLES == 0 || !used) return value;
  const int entry = number * TABLE_WORDS + which.to_int() * 256 + value.to_int() + 128;
  return ap_uint<8>(tables[entry][0]);
}

/// One matrix, as the engine schedules it. The loop is its loop nest in one piece, so that no pipeline runs empty
/// between blocks:
///
///   for each block row, for each of its nonzero blocks, for each group of L tokens: R × C × L products
///
/// With T token groups, F words of weights in a block and Q parts of a block row, a block stays for S = max(T, F)
/// trips (F of them bring the next block) and a block row of n blocks for max(n·S, T·Q), because the one before is
/// requantised meanwhile, from the other bank of accumulators. F trips in front bring the first block, T·Q behind
/// requantise the last block row.
///
/// @param entries       index entries: block column, last of its row, empty row
/// @param words         weights, FETCH_WORDS words for each block
/// @param channels      constants of R / Q channels: for each block row, for each token group, its Q words
/// @param entry_count   index entries of the matrix; 0: nothing to do
/// @param block_count   nonzero blocks of it
/// @param groups        T
/// @param table_used    whether an activation by table follows, and which
/// @param activations   beats of the words of C × L activations, [block column][token group]
/// @param results       beats of the words of R / Q × L results, in the order in which they come
template <typename Entries, typename Words, typename Channels>
void compute(Entries& entries, Words& words, Channels& channels, int entry_count, int block_count, int groups,
             bool table_used, int table_number, const beat_t activations[ACTIVATION_BEATS][ACTIVATION_WORDS],
             beat_t results[RESULT_BEATS][MATRIX_RESULTS]) {
  // The weights of two blocks: one in use, the next one arriving word by word in its shadow.
  weight_t shadow[FETCH_WORDS][WEIGHTS_PER_WORD];
  HLS_PARTITION(shadow, 0)
  weight_t weights[R][C];
  HLS_PARTITION(weights, 0)
  // Two banks: one sums the present block row, the other is read for requantisation.
  sum_t accumulators[2][GROUPS][R][L];
  HLS_PARTITION(accumulators, 1)
  HLS_PARTITION(accumulators, 3)
  HLS_PARTITION(accumulators, 4)
  // What was written last is taken from here: with one token group it is wanted again in the very next trip.
  HLS_DISTANCE(accumulators, 2)
  sum_t written[R][L];
  HLS_PARTITION(written, 0)
  bool written_valid = false, written_bank = false;
  int written_group = 0;

  const int slot = groups > FETCH_WORDS ? groups : FETCH_WORDS;
  const int row_words = groups * Q;

  enum { LEAD, ROWS, TAIL } phase = block_count > 0 ? LEAD : ROWS;
  bool over = entry_count == 0;
  int entries_left = entry_count, words_left = block_count * FETCH_WORDS;
  int position = 0, row_age = 0;
  bool bank = false, first_block = true;
  entry_t entry = 0;
  bool draining = false, drain_zero = false;  // the bank that is not summed into
  int drain_group = 0, drain_part = 0, result = 0;

  int trip = 0;
  for (; trip < MOST_TRIPS && !over; ++trip) {
    HLS_PIPELINE
    // ---- A block begins, or an entry for an empty block row.
    if (phase == ROWS && position == 0) {
      entry = entries.read();
      --entries_left;
    }
    const bool empty = field<1>(entry, COLUMN_BITS + 1) != 0, last = field<1>(entry, COLUMN_BITS) != 0;
    const int column = field<COLUMN_BITS>(entry, 0).to_int();
    const bool block = phase == ROWS && !empty;
    if (block && position == 0) {
      HLS_UNROLL
      for (int r = 0; r < R; ++r) {
        HLS_UNROLL
        for (int c = 0; c < C; ++c) {
          const int element = r * C + c;
          weights[r][c] = shadow[element / WEIGHTS_PER_WORD][element % WEIGHTS_PER_WORD];
        }
      }
    }

    // ---- One word of the next block.
    if ((block || phase == LEAD) && position < FETCH_WORDS && words_left > 0) {
      const word_t word = words.read();
      --words_left;
      HLS_UNROLL
      for (int i = 0; i < WEIGHTS_PER_WORD; ++i) {
        shadow[position][i] = field<WEIGHT_BITS>(word, i * WEIGHT_BITS);
      }
    }

    // ---- One word of each bank: what the sums of this trip are added to, and what is requantised.
    sum_t stored[2][R][L];
    HLS_PARTITION(stored, 0)
    const bool issue = block && position < groups;
    HLS_UNROLL
    for (int b = 0; b < 2; ++b) {
      const int group = int(bank) != b ? drain_group : issue ? position : 0;
      const bool again = written_valid && int(written_bank) == b && written_group == group;
      HLS_UNROLL
      for (int r = 0; r < R; ++r) {
        HLS_UNROLL
        for (int l = 0; l < L; ++l) stored[b][r][l] = again ? written[r][l] : accumulators[b][group][r][l];
      }
    }

    // ---- Requantisation of a part of the block row before.
    if (draining) {
      const channel_word_t constants = channels.read();
      value_t values[RESULT_BEATS * BEAT_VALUES];
      HLS_PARTITION(values, 0)
      HLS_UNROLL
      for (int i = R / Q * L; i < RESULT_BEATS * BEAT_VALUES; ++i) values[i] = 0;
      HLS_UNROLL
      for (int r = 0; r < R / Q; ++r) {
        const channel_t channel = channel_of(constants, r);
        const int row = drain_part * (R / Q) + r;
        HLS_UNROLL
        for (int l = 0; l < L; ++l) {
          const sum_t sum = bank ? stored[0][row][l] : stored[1][row][l];
          const value_t value = requantise(drain_zero ? sum_t(0) : sum, channel);
          values[r * L + l] = activate(value, table_used, table_number, channel.table);
        }
      }
      HLS_UNROLL
      for (int b = 0; b < RESULT_BEATS; ++b) {
        beat_t beat = 0;
        HLS_UNROLL
        for (int i = 0; i < BEAT_VALUES; ++i) beat |= beat_t(ap_uint<8>(values[b * BEAT_VALUES + i])) << (i * 8);
        results[b][result] = beat;
      }
      ++result;
      ++drain_part;
      if (drain_part == Q) {
        drain_part = 0;
        draining = drain_group != groups - 1;
        drain_group = draining ? drain_group + 1 : 0;
      }
    }

    // ---- A token group passes the array.
    if (issue) {
      value_t tokens[C][L];
      HLS_PARTITION(tokens, 0)
      HLS_UNROLL
      for (int b = 0; b < ACTIVATION_BEATS; ++b) {
        const beat_t beat = activations[b][column * GROUPS + position];
        HLS_UNROLL
        for (int i = 0; i < BEAT_VALUES; ++i) {
          const int element = b * BEAT_VALUES + i;
          if (element < C * L) {
            const int at = element < C * L ? element : 0;
            tokens[at / L][at % L] = field<8>(beat, i * 8);
          }
        }
      }
      sum_t sums[R][L];
      HLS_PARTITION(sums, 0)
      multiply(weights, tokens, sums);
      HLS_UNROLL
      for (int r = 0; r < R; ++r) {
        HLS_UNROLL
        for (int l = 0; l < L; ++l) {
          const sum_t before = bank ? stored[1][r][l] : stored[0][r][l];
          written[r][l] = first_block ? sums[r][l] : sum_t(before + sums[r][l]);
          if (bank) accumulators[1][position][r][l] = written[r][l];
          else accumulators[0][position][r][l] = written[r][l];
        }
      }
      written_valid = true;
      written_bank = bank;
      written_group = position;
    }

    // ---- What comes next.
    const bool row_old = row_age >= row_words - 1;
    const bool slot_over = empty || position >= slot - 1;
    const bool finish = phase == LEAD   ? position == FETCH_WORDS - 1
                        : phase == ROWS ? slot_over && (!last || row_old)
                                        : position == row_words - 1;
    position = finish ? 0 : position + 1;
    if (phase == ROWS) {
      const bool row_end = finish && last;
      row_age = row_end ? 0 : row_age + 1;
      if (finish) first_block = last;
      if (row_end) {
        draining = true;
        drain_zero = empty;
        bank = !bank;
      }
    }
    if (finish) {
      over = phase == TAIL;
      phase = phase == ROWS && entries_left == 0 ? TAIL : phase == LEAD ? ROWS : phase;
    }
  }
#if CODESIGN_SIMULATION
  trips_taken = trip;
#endif
}

}  // namespace engine
