// What brings a matrix's activations, index, constants and weights to the core, and its results away. Each function
// is one process of the kernel's dataflow. They all get the same numbers: a call runs `layers` matrices from `first`
// on, this is round `round` of it; rounds beyond the last matrix do nothing.
#pragma once

#include "design.hpp"
#include "images.hpp"
#include "pragmas.hpp"

namespace engine {

inline job_t job_of(int round, int first, int layers) {
  HLS_INLINE
  return round < layers ? LAYER_TABLE[first + round] : NO_JOB;
}

/// A word of weights from pieces of 64 bits, the lowest first.
inline word_t word_of(const std::uint64_t pieces[WORD_PIECES]) {
  HLS_INLINE
  word_t word = 0;
  HLS_UNROLL
  for (int p = 0; p < WORD_PIECES; ++p) word |= word_t(pieces[p]) << (64 * p);
  return word;
}

/// A word of channel constants likewise.
inline channel_word_t channel_word_of(const std::uint64_t pieces[CHANNEL_PIECES]) {
  HLS_INLINE
  channel_word_t word = 0;
  HLS_UNROLL
  for (int p = 0; p < CHANNEL_PIECES; ++p) word |= channel_word_t(pieces[p]) << (64 * p);
  return word;
}

/// The URAM's content from the port that brings it: every word begins with a beat of its own.
template <typename Source>
void load_weights(Source& source, std::uint64_t uram[URAM_DEPTH][WORD_PIECES]) {
  for (int i = 0; i < URAM_WORDS; ++i) {
    ap_uint<PORT_BEATS * STREAM_BITS> beats = 0;
    for (int b = 0; b < PORT_BEATS; ++b) {
      HLS_PIPELINE
      beats |= ap_uint<PORT_BEATS * STREAM_BITS>(source.read()) << (b * STREAM_BITS);
    }
    HLS_UNROLL
    for (int p = 0; p < WORD_PIECES; ++p) uram[i][p] = ap_uint<64>(beats >> (64 * p)).to_uint64();
  }
}

/// Activations to the matrix's buffer: block column by block column, in each the token groups in order.
template <typename Source>
void load_activations(int round, int first, int layers, int groups, Source& source,
                      beat_t activations[ACTIVATION_BEATS][ACTIVATION_WORDS]) {
  const job_t job = job_of(round, first, layers);
  const int beats = job.columns * groups * ACTIVATION_BEATS;
  int beat = 0, group = 0, column = 0;
  for (int i = 0; i < ACTIVATION_BEATS * ACTIVATION_WORDS && i < beats; ++i) {
    HLS_PIPELINE
    activations[beat][column * GROUPS + group] = source.read();
    if (++beat == ACTIVATION_BEATS) {
      beat = 0;
      if (++group == groups) {
        group = 0;
        ++column;
      }
    }
  }
}

/// Results from the matrix's buffer.
template <typename Sink>
void store_results(int round, int first, int layers, int groups,
                   const beat_t results[RESULT_BEATS][MATRIX_RESULTS], Sink& sink) {
  const job_t job = job_of(round, first, layers);
  const int beats = job.rows * groups * Q * RESULT_BEATS;
  int beat = 0, word = 0;
  for (int i = 0; i < RESULT_BEATS * MATRIX_RESULTS && i < beats; ++i) {
    HLS_PIPELINE
    sink.write(results[beat][word], i == beats - 1);
    if (++beat == RESULT_BEATS) {
      beat = 0;
      ++word;
    }
  }
}

/// Index entries in schedule order. Those of a matrix in external memory are buffered first, so that the port is free
/// for its weights.
template <typename Beats, typename Entries>
void read_index(int round, int first, int layers, Beats& external, Entries& entries) {
  HLS_STORAGE(index, rom_1p, bram)
  const job_t job = job_of(round, first, layers);
  if (EXTERNAL && job.memory == DDR) {
    external_beat_t beats[INDEX_BEATS];
    for (int i = 0; i < INDEX_BEATS && i < job.index_beats; ++i) {
      HLS_PIPELINE
      beats[i] = external.read();
    }
    external_beat_t beat = 0;
    int place = 0, next = 0;
    for (int i = 0; i < MOST_ENTRIES && i < job.entries; ++i) {
      HLS_PIPELINE
      if (place == 0) beat = beats[next++];
      const ap_uint<STREAMED_INDEX_BITS> found = beat;
      beat >>= STREAMED_INDEX_BITS;
      place = place == PORTS * AXI_BITS / STREAMED_INDEX_BITS - 1 ? 0 : place + 1;
      // The two marks lie above the column's bits, however many these are.
      const entry_t marks = field<2>(found, STREAMED_INDEX_BITS - 2);
      entries.write((marks << COLUMN_BITS) | entry_t(field<COLUMN_BITS>(found, 0)));
    }
  } else {
    for (int i = 0; i < MOST_ENTRIES && i < job.entries; ++i) {
      HLS_PIPELINE
      entries.write(entry_t(index[job.index_base + i][0]));
    }
  }
}

/// Channel constants as they are used: for each block row, for each token group, its Q words.
template <typename Beats, typename Words>
void read_channels(int round, int first, int layers, int groups, Beats& external, Words& words) {
  HLS_PARTITION(channels, 2)
  HLS_STORAGE(channels, rom_1p, bram)
  const job_t job = job_of(round, first, layers);
  const bool streamed = EXTERNAL && job.memory == DDR;
  channel_word_t buffer[CHANNEL_BUFFER];
  if (streamed) {
    for (int i = 0; i < CHANNEL_BUFFER && i < job.rows * Q; ++i) {
      channel_word_t word = 0;
      for (int b = 0; b < CHANNEL_BEATS; ++b) {
        HLS_PIPELINE
        const ap_uint<CHANNEL_BEATS * PORTS * AXI_BITS> beat = external.read();
        word |= channel_word_t(beat << (b * PORTS * AXI_BITS));
      }
      buffer[i] = word;
    }
  }
  int base = 0, group = 0, part = 0;
  for (int i = 0; i < MATRIX_RESULTS && i < job.rows * groups * Q; ++i) {
    HLS_PIPELINE
    const int word = base + part;
    if (streamed) words.write(buffer[word]);
    else words.write(channel_word_of(channels[job.channel_base + word]));
    if (++part == Q) {
      part = 0;
      if (++group == groups) {
        group = 0;
        base += Q;
      }
    }
  }
}

/// Weights in schedule order, FETCH_WORDS words for each block.
template <typename Beats, typename Words>
void read_weights(int round, int first, int layers, const std::uint64_t uram[URAM_DEPTH][WORD_PIECES],
                  Beats& external, Words& words) {
  HLS_PARTITION(weights_bram, 2)
  HLS_STORAGE(weights_bram, rom_1p, bram)
  const job_t job = job_of(round, first, layers);
  const int count = job.blocks * FETCH_WORDS;
  if (EXTERNAL && job.memory == DDR) {
    word_t word = 0;
    int beat = 0;
    for (int i = 0; i < MOST_WORDS * WORD_BEATS && i < count * WORD_BEATS; ++i) {
      HLS_PIPELINE
      const word_t part = word_t(external.read()) << (beat * PORTS * AXI_BITS);
      word = beat == 0 ? part : word_t(word | part);
      beat = beat == WORD_BEATS - 1 ? 0 : beat + 1;
      if (beat == 0) words.write(word);
    }
  } else if (URAM_WORDS > 0 && job.memory == URAM) {
    for (int i = 0; i < MOST_WORDS && i < count; ++i) {
      HLS_PIPELINE
      words.write(word_of(uram[job.weight_base + i]));
    }
  } else {
    for (int i = 0; i < MOST_WORDS && i < count; ++i) {
      HLS_PIPELINE
      words.write(word_of(weights_bram[job.weight_base + i]));
    }
  }
}

/// A matrix's part of external memory, from a port that is read beat by beat: index, channel constants, weights.
template <typename Source, typename Beats>
void read_external(int round, int first, int layers, Source& source, Beats& index_beats, Beats& channel_beats,
                   Beats& weight_beats) {
  const job_t job = job_of(round, first, layers);
  if (EXTERNAL && job.memory == DDR) {
    for (int i = 0; i < INDEX_BEATS && i < job.index_beats; ++i) {
      HLS_PIPELINE
      index_beats.write(source.read(job.constants_base + i));
    }
    for (int i = 0; i < CHANNEL_BUFFER * CHANNEL_BEATS && i < job.channel_beats; ++i) {
      HLS_PIPELINE
      channel_beats.write(source.read(job.constants_base + job.index_beats + i));
    }
    for (int i = 0; i < MOST_WORDS * WORD_BEATS && i < job.blocks * FETCH_WORDS * WORD_BEATS; ++i) {
      HLS_PIPELINE
      weight_beats.write(source.read(job.external_base + i));
    }
  }
}

}  // namespace engine
