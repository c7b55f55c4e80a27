// Runs the compute core alone on the first run's matrices and compares every result with the integer model's. What the
// kernel's processes would hand to the core is prepared by those processes themselves.
//
// The folder with `weights/` and `vectors/` is the argument, or CODESIGN_FOLDER of folder.hpp, if there is one: HLS
// compilers run testbenches wherever they like. The verdict is also in core.txt of that folder.
#include <cstdio>
#include <deque>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core_top.hpp"
#include "files.hpp"
#include "load_images.hpp"
#include "memory.hpp"

#if defined(__has_include)
#if __has_include("folder.hpp")
#include "folder.hpp"
#endif
#endif

#ifdef __BAMBU_SIM__
#include <mdpi/mdpi_user.h>
#endif

#ifndef CODESIGN_FOLDER
#define CODESIGN_FOLDER "."
#endif

namespace engine {
#if CODESIGN_SIMULATION
long long trips_taken = 0;
#endif
}  // namespace engine

using namespace engine;

namespace {

/// The core's arguments; static, because they are large.
entry_t entries[MOST_ENTRIES];
word_t words[MOST_WORDS];
channel_word_t constants[MATRIX_RESULTS];
beat_t activations[ACTIVATION_BEATS][ACTIVATION_WORDS];
beat_t results[RESULT_BEATS][MATRIX_RESULTS];
std::uint64_t uram[URAM_DEPTH][WORD_PIECES];

struct beats_t {
  const std::vector<beat_t>& beats;
  std::size_t next;
  beat_t read() { return beats[next++]; }
};

struct external_source_t {
  const std::vector<external_beat_t>& beats;
  external_beat_t read(int beat) { return beats[std::size_t(beat)]; }
};

/// A queue between two of the processes.
template <typename Word>
struct queue_t {
  std::deque<Word> words;
  void write(const Word& word) { words.push_back(word); }
  Word read() {
    const Word word = words.front();
    words.pop_front();
    return word;
  }
};

template <typename Word, std::size_t COUNT>
void drain(queue_t<Word>& queue, Word (&array)[COUNT]) {
  for (std::size_t i = 0; !queue.words.empty(); ++i) array[i] = queue.read();
}

}  // namespace

int main(int count, char** arguments) {
  const std::string folder = count > 1 ? arguments[1] : CODESIGN_FOLDER;
#if CODESIGN_SIMULATION
  if (!load_images(folder + "/weights")) return 2;
#endif
  std::vector<external_beat_t> external;
  if (EXTERNAL) external = load_beats<external_beat_t>(folder + "/weights/ddr.bin", PORTS * AXI_BITS / 8);
  if (URAM_WORDS > 0) {
    const std::string path = folder + "/weights/weights_uram.bin";
    if (!load_words(path, &uram[0][0], URAM_WORDS, (PORT_BITS + 7) / 8, WORD_PIECES)) return 2;
  }
  std::ifstream file(folder + "/vectors/runs.txt");
  int first = 0, layers = 0, tokens = 0;
  if (!(file >> first >> layers >> tokens)) {
    std::fprintf(stderr, "%s/vectors/runs.txt: cannot be read\n", folder.c_str());
    return 2;
  }
  const int groups = (tokens + L - 1) / L;
  const std::vector<beat_t> all = load_beats<beat_t>(folder + "/vectors/run0.activations.bin", STREAM_BITS / 8);
  const std::vector<std::uint8_t> wanted = read_bytes(folder + "/vectors/run0.results.bin");
  beats_t source = {all, 0};
  external_source_t external_source = {external};
  std::size_t at = 0;
  long long mismatches = 0;
  for (int layer = first; layer < first + layers; ++layer) {
    const job_t& job = LAYER_TABLE[layer];
    queue_t<external_beat_t> index_beats, channel_beats, weight_beats;
    queue_t<entry_t> entry_stream;
    queue_t<channel_word_t> channel_stream;
    queue_t<word_t> word_stream;
    read_external(layer - first, first, layers, external_source, index_beats, channel_beats, weight_beats);
    read_index(layer - first, first, layers, index_beats, entry_stream);
    read_channels(layer - first, first, layers, groups, channel_beats, channel_stream);
    read_weights(layer - first, first, layers, uram, weight_beats, word_stream);
    drain(entry_stream, entries);
    drain(channel_stream, constants);
    drain(word_stream, words);
    load_activations(layer - first, first, layers, groups, source, activations);
#ifdef __BAMBU_SIM__
    // How large the arrays behind the pointers are.
    m_param_alloc(0, sizeof(entries));
    m_param_alloc(1, sizeof(words));
    m_param_alloc(2, sizeof(constants));
    m_param_alloc(3, sizeof(activations));
    m_param_alloc(4, sizeof(results));
#endif
    engine_core(entries, words, constants, activations, results, job.entries, job.blocks, groups, job.table);
    long long wrong = 0;
    for (int feature = 0; feature < job.out_features; ++feature) {
      for (int token = 0; token < tokens; ++token) {
        const int rows = R / Q;
        const int word = (feature / R * groups + token / L) * Q + feature % R / rows;
        const int element = feature % rows * L + token % L;
        const int bit = element % BEAT_VALUES * 8;
        const value_t found = field<8>(results[element / BEAT_VALUES][word], bit);
        if (found.to_int() != int(std::int8_t(wanted[at++]))) ++wrong;
      }
    }
    const long long outputs = (long long)job.out_features * tokens;
    std::printf("core\tmatrix %d\toutputs %lld\tmismatches %lld\n", layer, outputs, wrong);
    mismatches += wrong;
  }
  // The exit code may get lost on its way through an HLS compiler; this line does not.
  const std::string verdict = std::string(mismatches ? "CORE WRONG: " : "CORE RIGHT: ") + std::to_string(mismatches) +
                              " of " + std::to_string(at) + " outputs differ";
  std::printf("%s\n", verdict.c_str());
  std::ofstream(folder + "/core.txt") << verdict << "\n";
  return mismatches ? 1 : 0;
}
