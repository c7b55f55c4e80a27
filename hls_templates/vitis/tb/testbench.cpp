// Runs the kernel on the vectors of a folder and compares every result with the integer model's.
//
//   testbench [FOLDER] [--first-run-only] [--rtl]
//
// FOLDER (the present one by default) has `weights/` and `vectors/`. vectors/runs.txt has a line for each run:
//
//   FIRST LAYERS TOKENS, and for each of its matrices the trips of the core's loop that the hardware model says
//
// Run i's activations are the beats in vectors/run<i>.activations.bin; vectors/run<i>.results.bin has N × tokens bytes
// for each of its matrices. --rtl: the kernel is simulated hardware, which counts no trips.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "call.hpp"
#include "files.hpp"
#include "load_images.hpp"

using namespace engine;

namespace {

struct run_t {
  int first = 0, layers = 0, tokens = 0;
  std::vector<long long> trips;
};

std::vector<run_t> read_runs(const std::string& path) {
  std::vector<run_t> runs;
  std::ifstream file(path);
  if (!file) std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream numbers(line);
    run_t run;
    if (!(numbers >> run.first >> run.layers >> run.tokens)) continue;
    long long trips = 0;
    while (numbers >> trips) run.trips.push_back(trips);
    if (run.first < 0 || run.layers < 1 || run.first + run.layers > LAYERS || run.tokens < 1 ||
        run.tokens > MAX_TOKENS || run.trips.size() != std::size_t(run.layers)) {
      std::fprintf(stderr, "%s: not a run of this design: %s\n", path.c_str(), line.c_str());
      return {};
    }
    runs.push_back(run);
  }
  return runs;
}

/// The result of a feature and a token in the beats of a matrix: block row by block row, in each the token groups, in
/// each its Q parts of R / Q features × L tokens.
int result_at(const beat_t* beats, int groups, int feature, int token) {
  const int rows = R / Q;
  const int word = (feature / R * groups + token / L) * Q + feature % R / rows;
  const int element = feature % rows * L + token % L;
  const int at = element % BEAT_VALUES * 8;
  return value_t(field<8>(beats[word * RESULT_BEATS + element / BEAT_VALUES], at)).to_int();
}

}  // namespace

int main(int count, char** arguments) {
  std::string folder = ".";
  bool first_only = false, rtl = false;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--first-run-only") == 0) first_only = true;
    else if (std::strcmp(arguments[i], "--rtl") == 0) rtl = true;
    else folder = arguments[i];
  }
#if CODESIGN_SIMULATION
  if (!load_images(folder + "/weights")) return 2;
#endif

  buffers_t buffers;
  if (URAM_WORDS > 0) {
    // Every word begins with a beat of its own.
    const std::size_t word_bytes = (PORT_BITS + 7) / 8;
    const std::vector<std::uint8_t> data = read_bytes(folder + "/weights/weights_uram.bin");
    if (data.size() != URAM_WORDS * word_bytes) return 2;
    for (std::size_t i = 0; i < data.size(); ++i) {
      const std::size_t byte = i % word_bytes;
      const int at = int(byte % BEAT_VALUES) * 8;
      buffers.weights[i / word_bytes * PORT_BEATS + byte / BEAT_VALUES] |= beat_t(data[i]) << at;
    }
    if (!call(buffers, 1, 0, 0, 0, 0, 0)) return 2;
  }
  if (EXTERNAL) {
    buffers.external = load_beats<external_beat_t>(folder + "/weights/ddr.bin", PORTS * AXI_BITS / 8);
    if (buffers.external.empty()) return 2;
  }

  const std::vector<run_t> runs = read_runs(folder + "/vectors/runs.txt");
  if (runs.empty()) return 2;
  bool right = true;
  for (std::size_t number = 0; number < runs.size() && !(first_only && number > 0); ++number) {
    const run_t& run = runs[number];
    const int groups = (run.tokens + L - 1) / L;
    const std::string path = folder + "/vectors/run" + std::to_string(number);
    const std::vector<beat_t> activations = load_beats<beat_t>(path + ".activations.bin", STREAM_BITS / 8);
    const std::vector<std::uint8_t> wanted = read_bytes(path + ".results.bin");
    std::size_t in_beats = 0, out_beats = 0, values = 0;
    for (int layer = run.first; layer < run.first + run.layers; ++layer) {
      in_beats += std::size_t(LAYER_TABLE[layer].columns) * groups * ACTIVATION_BEATS;
      out_beats += std::size_t(LAYER_TABLE[layer].rows) * groups * Q * RESULT_BEATS;
      values += std::size_t(LAYER_TABLE[layer].out_features) * run.tokens;
    }
    if (activations.size() != in_beats || wanted.size() != values) {
      std::fprintf(stderr, "%s: vectors of another size than the run's\n", path.c_str());
      return 2;
    }
    for (std::size_t i = 0; i < activations.size(); ++i) buffers.activations[i] = activations[i];
    if (!call(buffers, 0, run.first, run.layers, run.tokens, in_beats, out_beats)) {
      std::fprintf(stderr, "%s: results in another number of packets than matrices\n", path.c_str());
      return 2;
    }

    std::size_t beat = 0, at = 0;
    for (int layer = run.first; layer < run.first + run.layers; ++layer) {
      const job_t& job = LAYER_TABLE[layer];
      long long mismatches = 0;
      for (int feature = 0; feature < job.out_features; ++feature) {
        for (int token = 0; token < run.tokens; ++token) {
          const int found = result_at(&buffers.results[beat], groups, feature, token);
          if (found != int(std::int8_t(wanted[at++]))) ++mismatches;
        }
      }
      beat += std::size_t(job.rows) * groups * Q * RESULT_BEATS;
      const long long model = run.trips[layer - run.first];
      long long trips = model;
#if CODESIGN_SIMULATION
      if (!rtl) trips = layer_trips[layer];
#endif
      right = right && mismatches == 0 && trips == model;
      const long long outputs = (long long)job.out_features * run.tokens;
      std::printf("run %zu\tmatrix %d\ttrips %lld\tmodel %lld\t", number, layer, trips, model);
      std::printf("outputs %lld\tmismatches %lld\t%s\n", outputs, mismatches, LAYER_NAMES[layer]);
    }
  }
  if (rtl) std::printf("trips: not counted in simulated hardware\n");
  std::printf(right ? "every output bit is the integer model's, every trip the hardware model's\n"
                    : "NOT as it must be: outputs or trips differ\n");
  return right ? 0 : 1;
}
