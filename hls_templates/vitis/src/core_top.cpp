#include "core_top.hpp"

#include "core.hpp"

namespace engine {
namespace {

/// An array that is read in order.
template <typename Word>
struct in_order_t {
  const Word* words;
  int next;
  Word read() {
    HLS_INLINE
    return words[next++];
  }
};

}  // namespace
}  // namespace engine

using namespace engine;

extern "C" {

void engine_core(const entry_t entries[MOST_ENTRIES], const word_t words[MOST_WORDS],
                 const channel_word_t channels[MATRIX_RESULTS],
                 const beat_t activations[ACTIVATION_BEATS][ACTIVATION_WORDS],
                 beat_t results[RESULT_BEATS][MATRIX_RESULTS], int entry_count, int block_count, int groups,
                 int table) {
  in_order_t<entry_t> entry_source = {entries, 0};
  in_order_t<word_t> word_source = {words, 0};
  in_order_t<channel_word_t> channel_source = {channels, 0};
  compute(entry_source, word_source, channel_source, entry_count, block_count, groups, table >= 0, table, activations,
          results);
}
}
