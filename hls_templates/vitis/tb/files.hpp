// Reading of the testbench's files.
#pragma once

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

/// All bytes of a file; told on standard error and empty if it cannot be read.
inline std::vector<std::uint8_t> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
  return std::vector<std::uint8_t>((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

/// Words of so many bytes, the lowest first, as pieces of 64 bits.
inline bool load_words(const std::string& path, std::uint64_t* target, std::size_t words, std::size_t bytes,
                       std::size_t pieces) {
  const std::vector<std::uint8_t> data = read_bytes(path);
  if (data.size() != words * bytes) {
    std::fprintf(stderr, "%s: %zu bytes, %zu are needed\n", path.c_str(), data.size(), words * bytes);
    return false;
  }
  for (std::size_t word = 0; word < words; ++word) {
    for (std::size_t piece = 0; piece < pieces; ++piece) target[word * pieces + piece] = 0;
    for (std::size_t byte = 0; byte < bytes; ++byte) {
      target[word * pieces + byte / 8] |= std::uint64_t(data[word * bytes + byte]) << (8 * (byte % 8));
    }
  }
  return true;
}

/// The beats of a file: so many bytes each, the lowest first.
template <typename Beat>
std::vector<Beat> load_beats(const std::string& path, std::size_t bytes) {
  const std::vector<std::uint8_t> data = read_bytes(path);
  std::vector<Beat> beats(data.size() / bytes);
  for (std::size_t i = 0; i < beats.size(); ++i) {
    Beat beat = 0;
    for (std::size_t byte = 0; byte < bytes; ++byte) beat |= Beat(data[i * bytes + byte]) << int(8 * byte);
    beats[i] = beat;
  }
  return beats;
}
