// What tells an HLS compiler how to build a loop, an array or a port. Three readers: Vitis HLS, PandA-Bambu
// (-DCODESIGN_HLS_BAMBU), and plain C++ compilers, which get nothing.
#pragma once

#define CODESIGN_PRAGMA_TEXT(...) _Pragma(#__VA_ARGS__)
#define CODESIGN_PRAGMA(...) CODESIGN_PRAGMA_TEXT(__VA_ARGS__)

#if defined(CODESIGN_HLS_BAMBU)

// Bambu pipelines whole functions only, keeps arrays as memories, and wants `unroll` before the loop.
#define HLS_UNROLL CODESIGN_PRAGMA(HLS unroll)
#define HLS_PIPELINE
#define HLS_INLINE
#define HLS_DATAFLOW
#define HLS_INTERFACE(...)
#define HLS_PARTITION(array, dimension)
#define HLS_STREAM(fifo, words)
#define HLS_STORAGE(array, kind, primitive)
#define HLS_DISTANCE(array, trips)

#elif defined(__VITIS_HLS__) || defined(__SYNTHESIS__)

// Vitis unrolls every loop below a pipelined one by itself; each of those here has constant bounds.
#define HLS_UNROLL
#define HLS_PIPELINE CODESIGN_PRAGMA(HLS pipeline II=1)
#define HLS_INLINE CODESIGN_PRAGMA(HLS inline)
#define HLS_DATAFLOW CODESIGN_PRAGMA(HLS dataflow)
#define HLS_INTERFACE(...) CODESIGN_PRAGMA(HLS interface __VA_ARGS__)
#define HLS_PARTITION(array, dimension) \
  CODESIGN_PRAGMA(HLS array_partition variable=array type=complete dim=dimension)
#define HLS_STREAM(fifo, words) CODESIGN_PRAGMA(HLS stream variable=fifo depth=words)
#define HLS_STORAGE(array, kind, primitive) \
  CODESIGN_PRAGMA(HLS bind_storage variable=array type=kind impl=primitive)
// Between a write and a later trip's read of the same element there are at least so many trips.
#define HLS_DISTANCE(array, trips) \
  CODESIGN_PRAGMA(HLS dependence variable=array type=inter direction=RAW distance=trips dependent=true)

#else

#define HLS_UNROLL
#define HLS_PIPELINE
#define HLS_INLINE
#define HLS_DATAFLOW
#define HLS_INTERFACE(...)
#define HLS_PARTITION(array, dimension)
#define HLS_STREAM(fifo, words)
#define HLS_STORAGE(array, kind, primitive)
#define HLS_DISTANCE(array, trips)

#endif

// Whether this is compiled to run on a computer rather than to become hardware.
#if !defined(__SYNTHESIS__) && !defined(CODESIGN_HLS_BAMBU)
#define CODESIGN_SIMULATION 1
#else
#define CODESIGN_SIMULATION 0
#endif

// Buffers between processes are large: in simulation they must not lie on the stack.
#if CODESIGN_SIMULATION
#define CODESIGN_BUFFER static
#else
#define CODESIGN_BUFFER
#endif
