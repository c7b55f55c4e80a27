// The beats of AXI4-Stream ports: the type that Vitis knows, or one with the same fields where its header is missing.
#pragma once

#include "design.hpp"

#ifndef CODESIGN_AP_AXI_SDATA
template <int WIDTH, int USER, int ID, int DEST>
struct ap_axiu {
  ap_uint<WIDTH> data;
  ap_uint<WIDTH / 8> keep;
  ap_uint<WIDTH / 8> strb;
  ap_uint<1> last;
};
#endif

namespace engine {
typedef ap_axiu<STREAM_BITS, 0, 0, 0> stream_beat_t;
}  // namespace engine
