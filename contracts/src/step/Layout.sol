// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

// Where the step machine keeps what it works on: fixed places of memory, from where a contract's memory begins.

uint256 constant U64 = 0xffffffffffffffff;

// 64 registers, a word each; register 0 stays 0
uint256 constant REGISTERS = 0x80;
// where in calldata the next instruction is
uint256 constant NEXT = 0x880;
// where in calldata the program begins, and its number of instructions
uint256 constant PROGRAM = 0x8a0;
uint256 constant INSTRUCTIONS = 0x8c0;
// the output's element type; where its extents are in calldata, and how many
uint256 constant OUTPUT_TYPE = 0x8e0;
uint256 constant OUTPUT_DIMS = 0x900;
uint256 constant OUTPUT_RANK = 0x920;
// where the attribute words are in calldata, and how many
uint256 constant ATTRIBUTES = 0x940;
uint256 constant ATTRIBUTES_LENGTH = 0x960;
// how many operands there are; where the chunks' records are, and how many
uint256 constant OPERANDS_LENGTH = 0x980;
uint256 constant CHUNKS = 0x9a0;
uint256 constant CHUNKS_LENGTH = 0x9c0;
// the code for what is no instruction
uint256 constant REFUSE = 0x9e0;
// by opcode, 128 of them: which bits an instruction may have, the code that runs it, whether it writes a register
uint256 constant TABLE = 0xa00;
// records of the operands; behind them those of the chunks
uint256 constant OPERANDS = 0x1a00;
