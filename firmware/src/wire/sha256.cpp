#include "wire/sha256.h"

#include <cstring>

namespace {

constexpr size_t kBlock = 64;
constexpr size_t kLength = 8;  // Bytes of the message's length in bits, at the end of the last block.

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t Rotated(uint32_t value, unsigned bits) { return (value >> bits) | (value << (32 - bits)); }

uint32_t LoadBigEndian(const uint8_t* src) {
  return (uint32_t{src[0]} << 24) | (uint32_t{src[1]} << 16) | (uint32_t{src[2]} << 8) | src[3];
}

void StoreBigEndian(uint8_t* dst, uint32_t value) {
  for (int i = 0; i < 4; ++i) dst[i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

// The message schedule as a ring of 16 words instead of FIPS 180-4's array of 64: a board's stack is small.
void Mix(uint32_t* state, const uint8_t* block) {
  uint32_t w[16];
  uint32_t v[8];
  memcpy(v, state, sizeof v);
  for (size_t t = 0; t < 64; ++t) {
    uint32_t& word = w[t % 16];
    if (t < 16) {
      word = LoadBigEndian(block + 4 * t);
    } else {
      const uint32_t early = w[(t + 1) % 16];
      const uint32_t late = w[(t + 14) % 16];
      word += w[(t + 9) % 16] + (Rotated(early, 7) ^ Rotated(early, 18) ^ (early >> 3)) +
              (Rotated(late, 17) ^ Rotated(late, 19) ^ (late >> 10));
    }
    const uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
    const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
    const uint32_t first = v[7] + (Rotated(v[4], 6) ^ Rotated(v[4], 11) ^ Rotated(v[4], 25)) + choice + kRound[t] + word;
    const uint32_t second = (Rotated(v[0], 2) ^ Rotated(v[0], 13) ^ Rotated(v[0], 22)) + majority;
    memmove(v + 1, v, 7 * sizeof v[0]);
    v[4] += first;
    v[0] = first + second;
  }
  for (int i = 0; i < 8; ++i) state[i] += v[i];
}

}  // namespace

void Sha256(const uint8_t* data, size_t size, uint8_t* digest) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  size_t left = size;
  for (; left >= kBlock; left -= kBlock, data += kBlock) Mix(state, data);
  uint8_t block[kBlock] = {};
  if (left > 0) memcpy(block, data, left);
  block[left] = 0x80;
  if (left >= kBlock - kLength) {
    Mix(state, block);
    memset(block, 0, sizeof block);
  }
  const uint64_t bits = uint64_t{size} * 8;
  StoreBigEndian(block + kBlock - 8, static_cast<uint32_t>(bits >> 32));
  StoreBigEndian(block + kBlock - 4, static_cast<uint32_t>(bits));
  Mix(state, block);
  for (int i = 0; i < 8; ++i) StoreBigEndian(digest + 4 * i, state[i]);
}
