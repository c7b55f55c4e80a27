// Arithmetic of the engine: products packed into DSPs, requantisation, activation tables. Bit for bit the same as the
// integer model and the SystemVerilog engine.
#pragma once

#include "design.hpp"
#include "pragmas.hpp"

namespace engine {

// ---- Products. Operands lie side by side on the ports of one DSP, so do their products in its result. The packed
// operand that needs the wide port gets it: two weights of four bits, otherwise the activations.
constexpr int WEIGHT_PORT = PACKING == 4 ? WIDE_BITS : 18;
constexpr int ACTIVATION_PORT = PACKING == 4 ? 18 : WIDE_BITS;
typedef ap_int<WEIGHT_PORT> weight_operand_t;
typedef ap_int<ACTIVATION_PORT> activation_operand_t;
typedef ap_int<48> cascade_t;

// Four products: fields so wide, so far apart within a pair, that neighbours overlap by some bits.
constexpr int FOUR_APART = PACKING == 4 ? FIELD_SHIFT : 9;
constexpr int FOUR_FIELD = PACKING == 4 ? WEIGHT_SHIFT - FIELD_SHIFT : 11;
constexpr int FOUR_OVERLAP = FOUR_FIELD - FOUR_APART;

/// The weights of ROWS_PER_DSP rows on one port.
inline weight_operand_t pack_weights(const weight_t weights[ROWS_PER_DSP]) {
  HLS_INLINE
  weight_operand_t packed = weights[0];
  if (ROWS_PER_DSP == 2) {
    packed = weights[ROWS_PER_DSP - 1] * ap_int<WIDE_BITS>(1 << WEIGHT_SHIFT) + weights[0];
  }
  return packed;
}

/// The activations of LANES_PER_DSP lanes on the other.
inline activation_operand_t pack_activations(const value_t activations[LANES_PER_DSP]) {
  HLS_INLINE
  activation_operand_t packed = activations[0];
  if (LANES_PER_DSP == 2) {
    packed = activations[LANES_PER_DSP - 1] * ap_int<WIDE_BITS>(1 << FIELD_SHIFT) + activations[0];
  }
  return packed;
}

/// Two of the four products of int4 weights: those of one weight with both activations, the lowest two fields of
/// `rest`, which loses them. `weight` and `upper` are the lowest bits of the weight and of the second activation:
/// where the fields overlap, the lowest bits of the upper product follow from those of its factors.
inline void split_pair(cascade_t& rest, ap_uint<FOUR_OVERLAP> weight, ap_uint<FOUR_OVERLAP> upper, sum_t fields[2]) {
  HLS_INLINE
  const ap_uint<FOUR_OVERLAP> known = weight * upper;
  const ap_uint<FOUR_OVERLAP> top = ap_uint<FOUR_OVERLAP>(rest >> FOUR_APART) - known;
  const ap_uint<FOUR_FIELD> bottom = ap_uint<FOUR_APART>(rest);
  const ap_int<FOUR_FIELD> low = (ap_uint<FOUR_FIELD>(top) << FOUR_APART) | bottom;
  rest = (rest - low) >> FOUR_APART;
  const ap_int<FOUR_FIELD> high = rest;
  rest = (rest - high) >> FOUR_FIELD;
  fields[0] = low;
  fields[1] = high;
}

/// The sums in the result of a cascade: ROWS_PER_DSP × LANES_PER_DSP fields.
inline void split(cascade_t cascade, const weight_t weights[ROWS_PER_DSP], const value_t activations[LANES_PER_DSP],
                  sum_t fields[ROWS_PER_DSP][LANES_PER_DSP]) {
  HLS_INLINE
  if (PACKING == 1) {
    fields[0][0] = cascade;
  } else if (PACKING == 2) {
    const ap_int<FIELD_SHIFT> low = cascade;
    const ap_int<48> high = cascade >> FIELD_SHIFT;
    fields[0][0] = low;
    // A negative lower field has borrowed one from the upper.
    fields[0][LANES_PER_DSP - 1] = low < 0 ? sum_t(high + 1) : sum_t(high);
  } else {
    cascade_t rest = cascade;
    HLS_UNROLL
    for (int i = 0; i < ROWS_PER_DSP; ++i) {
      sum_t pair[2];
      const ap_uint<FOUR_OVERLAP> weight = weights[i], upper = activations[LANES_PER_DSP - 1];
      split_pair(rest, weight, upper, pair);
      fields[i][0] = pair[0];
      fields[i][LANES_PER_DSP - 1] = pair[1];
    }
  }
}

/// What the array works out in one trip: for R rows and L lanes the sum over a block's C columns.
inline void multiply(const weight_t weights[R][C], const value_t activations[C][L], sum_t sums[R][L]) {
  HLS_INLINE
  value_t lanes[C][DSP_LANES][LANES_PER_DSP];
  HLS_PARTITION(lanes, 0)
  activation_operand_t activation_operands[C][DSP_LANES];
  HLS_PARTITION(activation_operands, 0)
  HLS_UNROLL
  for (int c = 0; c < C; ++c) {
    HLS_UNROLL
    for (int d = 0; d < DSP_LANES; ++d) {
      HLS_UNROLL
      for (int i = 0; i < LANES_PER_DSP; ++i) {
        const int l = d * LANES_PER_DSP + i;
        lanes[c][d][i] = l < L ? activations[c][l < L ? l : 0] : value_t(0);
      }
      activation_operands[c][d] = pack_activations(lanes[c][d]);
    }
  }
  HLS_UNROLL
  for (int r = 0; r < R; r += ROWS_PER_DSP) {
    weight_t rows[C][ROWS_PER_DSP];
    HLS_PARTITION(rows, 0)
    weight_operand_t weight_operands[C];
    HLS_PARTITION(weight_operands, 0)
    HLS_UNROLL
    for (int c = 0; c < C; ++c) {
      HLS_UNROLL
      for (int i = 0; i < ROWS_PER_DSP; ++i) rows[c][i] = r + i < R ? weights[r + i < R ? r + i : 0][c] : weight_t(0);
      weight_operands[c] = pack_weights(rows[c]);
    }
    HLS_UNROLL
    for (int d = 0; d < DSP_LANES; ++d) {
      sum_t totals[ROWS_PER_DSP][LANES_PER_DSP];
      HLS_PARTITION(totals, 0)
      HLS_UNROLL
      for (int first = 0; first < C; first += CHAIN) {
        // As many products as a field can hold are summed before it is split.
        cascade_t cascade = 0;
        HLS_UNROLL
        for (int c = first; c < first + CHAIN; ++c) {
          if (c < C) cascade += weight_operands[c < C ? c : 0] * activation_operands[c < C ? c : 0][d];
        }
        sum_t fields[ROWS_PER_DSP][LANES_PER_DSP];
        HLS_PARTITION(fields, 0)
        split(cascade, rows[first], lanes[first][d], fields);
        HLS_UNROLL
        for (int i = 0; i < ROWS_PER_DSP; ++i) {
          HLS_UNROLL
          for (int j = 0; j < LANES_PER_DSP; ++j) {
            totals[i][j] = first == 0 ? fields[i][j] : sum_t(totals[i][j] + fields[i][j]);
          }
        }
      }
      HLS_UNROLL
      for (int i = 0; i < ROWS_PER_DSP; ++i) {
        HLS_UNROLL
        for (int j = 0; j < LANES_PER_DSP; ++j) {
          const int l = d * LANES_PER_DSP + j;
          if (r + i < R && l < L) sums[r + i < R ? r + i : 0][l < L ? l : 0] = totals[i][j];
        }
      }
    }
  }
}

// ---- Results.

/// The constants of one output channel.
struct channel_t {
  sum_t bias;
  ap_uint<16> multiplier;
  ap_uint<6> shift;
  ap_uint<1> table;
};

/// Channel number `r` of a word of R / Q.
inline channel_t channel_of(const channel_word_t& word, int r) {
  HLS_INLINE
  const int at = r * CHANNEL_BITS;
  channel_t channel;
  channel.bias = field<32>(word, at + CHANNEL_BIAS);
  channel.multiplier = field<16>(word, at + CHANNEL_MULTIPLIER);
  channel.shift = field<6>(word, at + CHANNEL_SHIFT);
  channel.table = field<1>(word, at + CHANNEL_TABLE);
  return channel;
}

/// saturate(((sum + bias)·m + 2^(s−1)) >> s) to −127 … 127.
inline value_t requantise(sum_t sum, const channel_t& channel) {
  HLS_INLINE
  const ap_int<33> biased = ap_int<33>(sum) + channel.bias;
  const ap_int<17> multiplier = channel.multiplier;
  const ap_int<50> product = biased * multiplier;
  // The bit below the point is what rounding half up adds. All 63 shifts are within 64 bits.
  const ap_int<64> wide = product;
  const int shift = channel.shift.to_int();
  const ap_int<64> below = wide >> (shift - 1);
  const ap_int<64> rounded = (wide >> shift) + (below & ap_int<64>(1));
  return rounded > 127 ? value_t(127) : rounded < -127 ? value_t(-127) : value_t(rounded);
}

}  // namespace engine
