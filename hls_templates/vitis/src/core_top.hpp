// The compute core alone, behind plain arrays of wide words: what an HLS compiler can take as its top without any of
// the kernel around it.
#pragma once

#include "design.hpp"

extern "C" {

/// One matrix. See core.hpp for what the arguments mean; `entries`, `words` and `channels` are read in order.
void engine_core(const engine::entry_t entries[engine::MOST_ENTRIES], const engine::word_t words[engine::MOST_WORDS],
                 const engine::channel_word_t channels[engine::MATRIX_RESULTS],
                 const engine::beat_t activations[engine::ACTIVATION_BEATS][engine::ACTIVATION_WORDS],
                 engine::beat_t results[engine::RESULT_BEATS][engine::MATRIX_RESULTS], int entry_count,
                 int block_count, int groups, int table);
}
