// A plugin for QEMU that counts the instructions of one invoke, by address and by path of calls.
//
// Debian packages QEMU's plugins without their header, so the part of it that is used is declared here:
// include/qemu/qemu-plugin.h of QEMU 7.2, where the interface has version 1.
//
// Argument fd=N: a file that this program inherits. At first it holds what rig/counting.py writes there; after each
// invoke it holds the counts of that one, as lines which measure/counts.py reads. Nothing else is opened.
//
// What is executed is counted by code that QEMU puts before every instruction, and looked at where a block of translated
// code begins: how far the block before it came, and whether it called, returned, or was left by an interrupt. Nothing in
// the firmware is changed, and its clock does not see any of this.
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t {
  const char *target_name;  // The rest is not used.
} qemu_info_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*qemu_plugin_vcpu_tb_trans_cb_t)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*qemu_plugin_vcpu_udata_cb_t)(unsigned int vcpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb_t cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, qemu_plugin_vcpu_udata_cb_t cb,
                                          enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, enum qemu_plugin_op op, void *counter,
                                                uint64_t by);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

enum {
  kMostFunctions = 1 << 16,
  kMostInstructions = 1 << 18,  // Different addresses.
  kMostBlocks = 1 << 17,
  kMostParts = 1 << 21,  // Instructions of all blocks, which may overlap.
  kMostNodes = 1 << 16,
  kMostFrames = 1 << 12,
  kBuckets = 1 << 17,
  kMostText = 63,
};

// How a block of code ends.
enum Ending {
  kOther,
  kCalls,
  kJumps,    // To an address that the code does not name, as a return does.
  kResumes,  // What an exception interrupted. On Arm that is a jump like any other.
};

typedef struct Instruction {
  uint32_t address;
  uint32_t opcode;  // As the manuals have it: of four bytes Arm's first halfword, and RISC-V's second, is the upper half.
  uint32_t next;    // In its bucket, plus one.
  uint8_t size;
  char text[kMostText + 1];
  uint64_t count;
  uint64_t taken;  // How often something else than the next address followed.
} Instruction;

typedef struct Block {
  uint32_t address;
  uint32_t end;
  uint32_t count;     // Of its instructions,
  uint32_t first;     // the first of which is here among the parts.
  uint32_t function;  // Index, or that of `kNoFunction`.
  uint32_t next;      // In its bucket, plus one.
  enum Ending ending;
  bool handles;  // An exception's handler begins here.
  bool spans;    // It goes on into another function, as routines in assembly do.
  uint64_t whole;
  uint64_t left;  // How often it was followed by something else than the next address.
} Block;

// A function as called on one path: `parent` called it, or jumped to it in place of a return.
typedef struct Node {
  uint32_t parent, function, child, sibling;
  uint64_t calls, instructions;
} Node;

typedef struct Frame {
  uint32_t returns_to;  // 0: out of an exception's handler, to wherever it came from.
  uint32_t node;        // Who goes on there.
  const Block *left;    // The block that an exception interrupted after its end, else NULL.
} Frame;

typedef struct Function {
  uint32_t begin, end;
} Function;

enum { kMagic = 0x464c4948, kNoFunction = 0xffffffff, kNone = 0xffffffff };

static FILE *file;
static bool is_riscv;  // Else it is an Arm.
static uint32_t entry, functions_count, handlers_count;
static Function *functions;
static uint32_t *handlers;

static Instruction *instructions;
static Block *blocks;
static uint32_t *parts;
static uint32_t instruction_buckets[kBuckets], block_buckets[kBuckets];
static uint32_t instructions_count, blocks_count, parts_count;

static Node *nodes;
static Frame *frames;
static uint32_t nodes_count, frames_count;
static uint32_t exceptions;  // Frames of handlers.
static const char *full;  // What there was no room for.

static uint64_t executed;  // Added to before every instruction.
static uint64_t at_block;  // Its value where the present block began.
static Block *last;
static bool counting;
static uint32_t here;  // Node of the present block.
static uint64_t windows;

static uint32_t Bucket(uint32_t address, uint32_t more) {
  return ((address >> 1) * 2654435761u + more * 40503u) >> 15 & (kBuckets - 1);
}

static void Overflow(const char *what) {
  if (full == NULL) full = what;
}

static uint32_t FunctionAt(uint32_t address) {
  uint32_t low = 0, high = functions_count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (functions[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < functions_count && functions[low].begin <= address ? low : kNoFunction;
}

static bool Handles(uint32_t address) {
  for (uint32_t i = 0; i < handlers_count; ++i) {
    if (handlers[i] == address) return true;
  }
  return false;
}

// Armv7-M Architecture Reference Manual (DDI 0403E), A5: the encodings of T32 instructions.
static enum Ending ArmEndingOf(uint32_t opcode, uint8_t size) {
  if (size == 2) {
    if ((opcode & 0xff87) == 0x4780) return kCalls;  // BLX register
    if ((opcode & 0xff87) == 0x4784) return kCalls;  // BLXNS
    const bool branches = (opcode & 0xff80) == 0x4700;                         // BX, BXNS
    const bool writes = (opcode & 0xff87) == 0x4687 || (opcode & 0xff87) == 0x4487;  // MOV pc, ADD pc
    return branches || writes || (opcode & 0xff00) == 0xbd00 ? kJumps : kOther;      // POP {..., pc}
  }
  const uint32_t first = opcode >> 16, second = opcode & 0xffff;
  if ((first & 0xf800) == 0xf000 && (second & 0xd000) == 0xd000) return kCalls;  // BL
  const bool loads_many = (first & 0xfe50) == 0xe810 && (second & 0x8000) != 0;   // LDM, LDMDB with pc
  const bool loads = (first & 0xff70) == 0xf850 && (second & 0xf000) == 0xf000;   // LDR pc
  return loads_many || loads ? kJumps : kOther;
}

// The RISC-V Instruction Set Manual, volume I, tables 16.5 and 24.2. A call leaves its return address in ra or t0 (table 2.1).
static enum Ending RiscvEndingOf(uint32_t opcode, uint8_t size) {
  const uint32_t written = opcode >> 7 & 31;
  const bool links = written == 1 || written == 5;
  if (size == 2) {
    if ((opcode & 0xe003) == 0x2001) return kCalls;  // C.JAL
    if ((opcode & 0xf07f) == 0x9002 && written != 0) return kCalls;  // C.JALR, by the same bits
    return (opcode & 0xf07f) == 0x8002 && written != 0 ? kJumps : kOther;  // C.JR
  }
  if (opcode == 0x30200073 || opcode == 0x10200073) return kResumes;  // MRET, SRET
  if ((opcode & 0x7f) == 0x6f) return links ? kCalls : kOther;        // JAL
  if ((opcode & 0x707f) == 0x67) return links ? kCalls : kJumps;      // JALR
  return kOther;
}

static enum Ending EndingOf(uint32_t opcode, uint8_t size) {
  return is_riscv ? RiscvEndingOf(opcode, size) : ArmEndingOf(opcode, size);
}

// By its first halfword: where a page ends behind an instruction of two bytes, QEMU says four, having looked at the next.
static size_t SizeOf(const uint8_t *data) {
  const uint32_t first = data[0] | (uint32_t)data[1] << 8;
  return (is_riscv ? (first & 3) == 3 : first >= 0xe800) ? 4 : 2;
}

static uint32_t OpcodeOf(const uint8_t *data) {
  const uint32_t first = data[0] | (uint32_t)data[1] << 8;
  if (SizeOf(data) == 2) return first;
  const uint32_t second = data[2] | (uint32_t)data[3] << 8;
  return is_riscv ? second << 16 | first : first << 16 | second;
}

// Index of the instruction, which is made known if it is not yet.
static uint32_t Known(struct qemu_plugin_insn *insn) {
  const uint32_t address = (uint32_t)qemu_plugin_insn_vaddr(insn);
  uint32_t *const bucket = &instruction_buckets[Bucket(address, 0)];
  const uint8_t *const data = qemu_plugin_insn_data(insn);
  const uint32_t opcode = OpcodeOf(data);
  for (uint32_t at = *bucket; at != 0; at = instructions[at - 1].next) {
    if (instructions[at - 1].address == address && instructions[at - 1].opcode == opcode) return at - 1;
  }
  if (instructions_count == kMostInstructions) {
    Overflow("instructions");
    return kNone;
  }
  Instruction *const made = &instructions[instructions_count++];
  *made = (Instruction){.address = address, .opcode = opcode, .size = (uint8_t)SizeOf(data), .next = *bucket};
  char *const text = qemu_plugin_insn_disas(insn);
  // Of a RISC-V the instruction itself comes first, in hex digits.
  const char *const shown = text == NULL ? "" : is_riscv ? text + strcspn(text, " \t") : text;
  for (size_t i = 0; shown[i] != '\0' && i < kMostText; ++i) {
    made->text[i] = shown[i] >= ' ' && shown[i] <= '~' ? shown[i] : ' ';
  }
  free(text);
  return *bucket = instructions_count, instructions_count - 1;
}

static bool SameParts(const Block *block, const struct qemu_plugin_tb *tb) {
  for (uint32_t i = 0; i < block->count; ++i) {
    if (parts[block->first + i] != Known(qemu_plugin_tb_get_insn(tb, i))) return false;
  }
  return true;
}

// QEMU translates the same code again when it needs room, and parts of it when its clock asks for an end: blocks are few.
static Block *BlockOf(const struct qemu_plugin_tb *tb) {
  const uint32_t address = (uint32_t)qemu_plugin_tb_vaddr(tb);
  const uint32_t count = (uint32_t)qemu_plugin_tb_n_insns(tb);
  uint32_t *const bucket = &block_buckets[Bucket(address, count)];
  for (uint32_t at = *bucket; at != 0; at = blocks[at - 1].next) {
    Block *const block = &blocks[at - 1];
    if (block->address == address && block->count == count && SameParts(block, tb)) return block;
  }
  if (blocks_count == kMostBlocks || count > kMostParts - parts_count) {
    Overflow("blocks");
    return NULL;
  }
  Block *const made = &blocks[blocks_count];
  *made = (Block){.address = address, .count = count, .first = parts_count, .next = *bucket};
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t known = Known(qemu_plugin_tb_get_insn(tb, i));
    if (known == kNone) return NULL;
    parts[made->first + i] = known;
  }
  const Instruction *const end = &instructions[parts[made->first + count - 1]];
  made->end = end->address + end->size;
  made->ending = EndingOf(end->opcode, end->size);
  made->function = FunctionAt(address);
  made->handles = Handles(address);
  made->spans = FunctionAt(end->address) != made->function;
  parts_count += count;
  *bucket = ++blocks_count;
  return made;
}

static uint32_t Child(uint32_t parent, uint32_t function) {
  for (uint32_t at = nodes[parent].child; at != kNone; at = nodes[at].sibling) {
    if (nodes[at].function == function) return at;
  }
  if (nodes_count == kMostNodes) {
    Overflow("paths of calls");
    return parent;
  }
  nodes[nodes_count] =
      (Node){.parent = parent, .function = function, .child = kNone, .sibling = nodes[parent].child};
  return nodes[parent].child = nodes_count++;
}

static void Enter(uint32_t function, uint32_t returns_to, const Block *left) {
  if (frames_count == kMostFrames) {
    Overflow("calls in calls");
    return;
  }
  frames[frames_count++] = (Frame){.returns_to = returns_to, .node = here, .left = left};
  if (returns_to == 0) ++exceptions;
  here = Child(here, function);
  ++nodes[here].calls;
}

static void LeaveTo(uint32_t frame) {
  here = frames[frame].node;
  while (frames_count > frame) {
    if (frames[--frames_count].returns_to == 0) --exceptions;
  }
}

// The innermost frame that returns to this address; kNone if none does.
static uint32_t FrameOf(uint32_t address) {
  for (uint32_t at = frames_count; at > 0; --at) {
    if (frames[at - 1].returns_to == address) return at - 1;
  }
  return kNone;
}

// To another function without a call: it returns for both, and counts as called by the one that jumped to it. One that
// was jumped to before goes on instead, so that functions that jump to each other for ever stay few.
static void Move(uint32_t function) {
  if (nodes[here].function == function) return;
  const uint32_t caller = frames_count > 0 ? frames[frames_count - 1].node : kNone;
  for (uint32_t at = here; at != caller && at != kNone; at = nodes[at].parent) {
    if (nodes[at].function == function) {
      here = at;
      return;
    }
  }
  here = Child(here, function);
  ++nodes[here].calls;
}

static void Begin(const Block *block, uint32_t returns_to) {
  for (uint32_t i = 0; i < instructions_count; ++i) instructions[i].count = instructions[i].taken = 0;
  for (uint32_t i = 0; i < blocks_count; ++i) blocks[i].whole = blocks[i].left = 0;
  nodes[0] = (Node){.parent = kNone, .function = block->function, .child = kNone, .sibling = kNone, .calls = 1};
  nodes_count = 1;
  here = 0;
  frames[0] = (Frame){.returns_to = returns_to, .node = kNone};
  frames_count = 1;
  exceptions = 0;
  counting = true;
}

static void Write(void) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < blocks_count; ++i) {
    const Block *const block = &blocks[i];
    for (uint32_t part = 0; part < block->count; ++part) instructions[parts[block->first + part]].count += block->whole;
    instructions[parts[block->first + block->count - 1]].taken += block->left;
  }
  for (uint32_t i = 0; i < nodes_count; ++i) total += nodes[i].instructions;
  rewind(file);
  fprintf(file, "invoke %" PRIu64 " %" PRIu64 " %s\n", windows, total, full == NULL ? "complete" : full);
  for (uint32_t i = 0; i < nodes_count; ++i) {
    const Node *const node = &nodes[i];
    fprintf(file, "path %" PRId32 " %" PRId32 " %" PRIu64 " %" PRIu64 "\n", (int32_t)node->parent,
            (int32_t)node->function, node->calls, node->instructions);
  }
  for (uint32_t i = 0; i < instructions_count; ++i) {
    const Instruction *const at = &instructions[i];
    if (at->count == 0) continue;
    fprintf(file, "at %08" PRIx32 " %0*" PRIx32 " %" PRIu64 " %" PRIu64 " %s\n", at->address, at->size * 2, at->opcode,
            at->count, at->taken, at->text);
  }
  fprintf(file, "end\n");
  fflush(file);
  if (ftruncate(fileno(file), ftell(file)) != 0) fputs("cannot cut\n", file);
}

// Whether all of the block was executed, and not only as much as it came to.
static bool Account(Block *block, uint64_t count) {
  if (block->spans) {
    for (uint32_t part = 0; part < count && part < block->count; ++part) {
      Move(FunctionAt(instructions[parts[block->first + part]].address));
      ++nodes[here].instructions;
    }
  } else {
    nodes[here].instructions += count;
  }
  if (count == block->count) {
    ++block->whole;
    return true;
  }
  for (uint32_t part = 0; part < count && part < block->count; ++part) ++instructions[parts[block->first + part]].count;
  return false;
}

static void End(void) {
  counting = false;
  Write();
  ++windows;
}

// A jump to an address that the code does not name: a return, from here or from several calls at once, or to a function.
static void Jumped(const Block *block) {
  const uint32_t frame = FrameOf(block->address);
  if (frame == kNone) {
    Move(block->function);
    return;
  }
  LeaveTo(frame);
  if (frame == 0) End();
}

// From a block that was executed to its end to another.
static void Follow(const Block *before, const Block *block) {
  if (before->ending == kCalls && block->address != before->end) {
    Enter(block->function, before->end, NULL);
  } else if (before->ending == kJumps) {
    Jumped(block);
  } else {
    Move(block->function);
  }
}

// Whether a block may be the end of a handler.
static bool MayResume(const Block *block) {
  return exceptions > 0 && block->ending == (is_riscv ? kResumes : kJumps);
}

// Whether a handler has ended: on an Arm it jumped to where no call returns to, and no function begins.
static bool Resumes(const Block *before, const Block *block) {
  if (!MayResume(before)) return false;
  if (is_riscv) return true;
  if (FrameOf(block->address) != kNone) return false;
  const bool begins = block->function != kNoFunction && functions[block->function].begin == block->address;
  return !begins && block->function != nodes[here].function;
}

static void Resume(const Block *block) {
  const uint32_t frame = FrameOf(0);
  const Block *const left = frames[frame].left;
  LeaveTo(frame);
  if (left != NULL && left->end != block->address) Follow(left, block);
}

static void Interrupt(const Block *before, const Block *block) {
  if (before != NULL && MayResume(before)) LeaveTo(FrameOf(0));  // One handler after the other.
  Enter(block->function, 0, before);
}

static void OnBlock(unsigned int vcpu, void *data) {
  (void)vcpu;
  Block *const block = data;
  Block *const before = last;
  const uint64_t count = executed - at_block;
  at_block = executed;
  last = block;
  const bool called = before != NULL && before->ending == kCalls && count == before->count;
  if (called && block->address == entry) {  // Also where the board was reset within an invoke.
    Begin(block, before->end);
    return;
  }
  if (!counting) return;
  const bool whole = Account(before, count);
  if (block->handles) {
    Interrupt(whole ? before : NULL, block);
  } else if (whole && Resumes(before, block)) {
    Resume(block);
  } else if (whole) {  // Else a device was accessed, for which QEMU begins a block anew.
    if (block->address != before->end) ++before->left;
    Follow(before, block);
  }
}

static void OnTranslated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  Block *const block = BlockOf(tb);
  if (block == NULL) return;
  qemu_plugin_register_vcpu_tb_exec_cb(tb, OnBlock, QEMU_PLUGIN_CB_NO_REGS, block);
  for (uint32_t i = 0; i < block->count; ++i) {
    qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_tb_get_insn(tb, i), QEMU_PLUGIN_INLINE_ADD_U64, &executed, 1);
  }
}

static bool ReadWords(uint32_t *words, size_t count) { return fread(words, sizeof *words, count, file) == count; }

// What to look for: the function to count, where functions lie in order of their addresses, and exceptions' handlers.
static bool ReadAsked(void) {
  uint32_t head[4];
  if (!ReadWords(head, 4) || head[0] != kMagic || head[2] > kMostFunctions || head[3] > kMostFunctions) return false;
  entry = head[1];
  functions = calloc(head[2] + 1u, sizeof *functions);
  handlers = calloc(head[3] + 1u, sizeof *handlers);
  if (functions == NULL || handlers == NULL) return false;
  functions_count = head[2];
  handlers_count = head[3];
  return ReadWords((uint32_t *)functions, 2u * functions_count) && ReadWords(handlers, handlers_count);
}

static bool MakeRoom(void) {  // The system gives memory only to what is used of it.
  instructions = calloc(kMostInstructions, sizeof *instructions);
  blocks = calloc(kMostBlocks, sizeof *blocks);
  parts = calloc(kMostParts, sizeof *parts);
  nodes = calloc(kMostNodes, sizeof *nodes);
  frames = calloc(kMostFrames, sizeof *frames);
  return instructions != NULL && blocks != NULL && parts != NULL && nodes != NULL && frames != NULL;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  is_riscv = strncmp(info->target_name, "riscv", 5) == 0;
  if (argc != 1 || strncmp(argv[0], "fd=", 3) != 0) return 1;
  file = fdopen(atoi(argv[0] + 3), "r+");
  if (file == NULL || !ReadAsked() || !MakeRoom()) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, OnTranslated);
  return 0;
}
