// What Vivado makes of hls_templates/rtl/dsp_cell.sv by itself, written out for Yosys, which puts neither registers nor
// cascades into a DSP48E2 and not all of them into a DSP48E1.
module dsp_cell #(
    parameter int A_BITS         = 27,
    parameter int B_BITS         = 18,
    parameter int OPERAND_STAGES = 1,
    parameter int SHIFT          = 0,
    parameter bit PORT_C         = 1'b0
) (
    input  logic               clk,
    input  logic               enable,
    input  logic        [31:0] a,
    input  logic        [31:0] b,
    input  logic signed [47:0] added,
    output logic signed [47:0] sum
);
  logic [29:0] wide;
  logic [17:0] narrow;
  logic [2:0] adds;  // the Z multiplexer: C, PCIN, or PCIN 17 bits down
  assign wide    = 30'($signed(a[A_BITS-1:0]));
  assign narrow  = 18'($signed(b[B_BITS-1:0]));
  assign adds    = PORT_C ? 3'b011 : SHIFT == 17 ? 3'b101 : 3'b001;

  if (engine_pkg::WIDE_BITS == 27) begin : g_dsp48e2
    DSP48E2 #(
        .AREG(OPERAND_STAGES), .ACASCREG(OPERAND_STAGES), .BREG(OPERAND_STAGES), .BCASCREG(OPERAND_STAGES),
        .CREG(PORT_C), .DREG(0), .ADREG(0), .MREG(1), .PREG(1),
        .INMODEREG(0), .OPMODEREG(0), .ALUMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0)
    ) u_dsp (
        .CLK(clk), .A(wide), .B(narrow), .C(PORT_C ? added : '0), .D('0), .PCIN(PORT_C ? '0 : added), .P(sum),
        .OPMODE({2'b00, adds, 4'b0101}), .INMODE('0), .ALUMODE('0), .CARRYIN('0), .CARRYINSEL('0),
        .CEA1(enable), .CEA2(enable), .CEB1(enable), .CEB2(enable), .CEM(enable), .CEP(enable),
        .CEC(PORT_C && enable), .CED('0), .CEAD('0), .CECTRL('0), .CEINMODE('0), .CEALUMODE('0), .CECARRYIN('0),
        .RSTA('0), .RSTB('0), .RSTC('0), .RSTD('0), .RSTM('0), .RSTP('0), .RSTCTRL('0), .RSTINMODE('0),
        .RSTALUMODE('0), .RSTALLCARRYIN('0)
    );
  end else begin : g_dsp48e1
    DSP48E1 #(
        .AREG(OPERAND_STAGES), .ACASCREG(OPERAND_STAGES), .BREG(OPERAND_STAGES), .BCASCREG(OPERAND_STAGES),
        .CREG(PORT_C), .DREG(0), .ADREG(0), .MREG(1), .PREG(1),
        .INMODEREG(0), .OPMODEREG(0), .ALUMODEREG(0), .CARRYINREG(0), .CARRYINSELREG(0)
    ) u_dsp (
        .CLK(clk), .A(wide), .B(narrow), .C(PORT_C ? added : '0), .D('0), .PCIN(PORT_C ? '0 : added), .P(sum),
        .OPMODE({adds, 4'b0101}), .INMODE('0), .ALUMODE('0), .CARRYIN('0), .CARRYINSEL('0),
        .CEA1(enable), .CEA2(enable), .CEB1(enable), .CEB2(enable), .CEM(enable), .CEP(enable),
        .CEC(PORT_C && enable), .CED('0), .CEAD('0), .CECTRL('0), .CEINMODE('0), .CEALUMODE('0), .CECARRYIN('0),
        .RSTA('0), .RSTB('0), .RSTC('0), .RSTD('0), .RSTM('0), .RSTP('0), .RSTCTRL('0), .RSTINMODE('0),
        .RSTALUMODE('0), .RSTALLCARRYIN('0)
    );
  end
endmodule
