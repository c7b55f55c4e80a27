// The weights of two blocks: one in use, the next one arriving word by word in its shadow. Where K and V are to be held
// too, a register has their eight bits, and a narrower weight is one with its sign repeated.
//
// Column c of a cascade works c % CHAIN cycles later than its first column, so what arrives, and the swap, reach it so
// many cycles later too.
module weight_registers
  import engine_pkg::*;
(
    input  logic                       clk,
    // One word of the next block.
    input  logic                       load,
    input  logic                       load_head,  // of K or V
    input  logic [WORD_INDEX_BITS-1:0] load_index,
    input  logic [PORT_BITS-1:0]       load_word,
    // The shadow is in use from the next cycle on.
    input  logic                       swap,
    output logic [R-1:0][C-1:0][HELD_BITS-1:0] weights
);
  typedef struct packed {
    logic                       load;
    logic                       head;
    logic                       swap;
    logic [WORD_INDEX_BITS-1:0] index;
    logic [PORT_BITS-1:0]       word;
  } arrival_t;

  // arrivals[k]: what reaches the columns that are k cycles late.
  arrival_t [CHAIN-1:0] arrivals;
  assign arrivals[0] = '{load: load, head: VECTOR != 0 && load_head, swap: swap, index: load_index, word: load_word};
  for (genvar k = 1; k < CHAIN; k++) begin : g_late
    always_ff @(posedge clk) arrivals[k] <= arrivals[k-1];
  end

  for (genvar r = 0; r < R; r++) begin : g_row
    for (genvar c = 0; c < C; c++) begin : g_column
      // The block's element number r·C + c, and where it lies: a weight never spans two words.
      localparam int First = (r * C + c) * WEIGHT_BITS;
      localparam int Word = First / PORT_BITS;
      localparam int Bit = First % PORT_BITS;
      localparam int HeadFirst = (r * C + c) * 8;
      localparam int HeadWord = HeadFirst / PORT_BITS;
      localparam int HeadBit = HeadFirst % PORT_BITS;
      logic [HELD_BITS-1:0] shadow;
      always_ff @(posedge clk) begin
        if (arrivals[c % CHAIN].load && arrivals[c % CHAIN].head) begin
          if (arrivals[c % CHAIN].index == WORD_INDEX_BITS'(HeadWord))
            shadow <= HELD_BITS'(arrivals[c % CHAIN].word[HeadBit +: 8]);
        end else if (arrivals[c % CHAIN].load && arrivals[c % CHAIN].index == WORD_INDEX_BITS'(Word))
          shadow <= HELD_BITS'($signed(arrivals[c % CHAIN].word[Bit +: WEIGHT_BITS]));
        if (arrivals[c % CHAIN].swap) weights[r][c] <= shadow;
      end
    end
  end
endmodule
