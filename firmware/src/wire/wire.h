#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

// Little-endian by shifts, whatever the host's order and alignment.
inline void StoreU16(uint8_t* dst, uint16_t value) {
  dst[0] = static_cast<uint8_t>(value);
  dst[1] = static_cast<uint8_t>(value >> 8);
}

inline void StoreU32(uint8_t* dst, uint32_t value) {
  StoreU16(dst, static_cast<uint16_t>(value));
  StoreU16(dst + 2, static_cast<uint16_t>(value >> 16));
}

inline uint16_t LoadU16(const uint8_t* src) { return static_cast<uint16_t>(src[0] | (src[1] << 8)); }

inline uint32_t LoadU32(const uint8_t* src) {
  return LoadU16(src) | (static_cast<uint32_t>(LoadU16(src + 2)) << 16);
}

// Appends to a fixed buffer. What does not fit is not written and leaves ok() false.
class Writer {
 public:
  Writer(uint8_t* data, size_t capacity) : data_(data), capacity_(capacity) {}

  // The next `size` bytes, to be filled by the caller; nullptr when they do not fit. Not inlined: all that a reply holds goes
  // through here, and firmware would be 1.3 KB larger.
  [[gnu::noinline]] uint8_t* Reserve(size_t size) {
    if (!ok_ || size > capacity_ - size_) {
      ok_ = false;
      return nullptr;
    }
    uint8_t* place = data_ + size_;
    size_ += size;
    return place;
  }

  void U8(uint8_t value) {
    if (uint8_t* place = Reserve(1)) *place = value;
  }
  void U16(uint16_t value) {
    if (uint8_t* place = Reserve(2)) StoreU16(place, value);
  }
  void U32(uint32_t value) {
    if (uint8_t* place = Reserve(4)) StoreU32(place, value);
  }
  void F32(float value) {
    uint32_t bits;
    static_assert(sizeof bits == sizeof value, "float must be binary32");
    memcpy(&bits, &value, sizeof bits);
    U32(bits);
  }
  void Bytes(const uint8_t* src, size_t size) {
    if (uint8_t* place = Reserve(size)) memcpy(place, src, size);
  }
  void Str(const char* text, size_t size) {  // Cut at 255 bytes, which its length byte cannot exceed.
    if (size > 255) size = 255;
    U8(static_cast<uint8_t>(size));
    Bytes(reinterpret_cast<const uint8_t*>(text), size);
  }
  void Str(const char* text) { Str(text, strlen(text)); }

  void Drop(size_t size) { size_ -= size; }  // Take back the last bytes written.
  void Clear() {
    size_ = 0;
    ok_ = true;
  }
  bool ok() const { return ok_; }
  size_t size() const { return size_; }
  size_t room() const { return capacity_ - size_; }

 private:
  uint8_t* data_;
  size_t capacity_;
  size_t size_ = 0;
  bool ok_ = true;
};

// Reads from a received body. Reading past its end gives 0 and leaves ok() false.
class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  const uint8_t* Take(size_t size) {
    if (!ok_ || size > left_) {
      ok_ = false;
      return nullptr;
    }
    const uint8_t* place = data_;
    data_ += size;
    left_ -= size;
    return place;
  }

  uint8_t U8() {
    const uint8_t* place = Take(1);
    return place != nullptr ? *place : uint8_t{0};
  }
  uint16_t U16() {
    const uint8_t* place = Take(2);
    return place != nullptr ? LoadU16(place) : uint16_t{0};
  }
  uint32_t U32() {
    const uint8_t* place = Take(4);
    return place != nullptr ? LoadU32(place) : 0u;
  }

  bool ok() const { return ok_; }
  size_t left() const { return left_; }

 private:
  const uint8_t* data_;
  size_t left_;
  bool ok_ = true;
};
