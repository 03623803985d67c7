// The recurrence of the relational memory in float32, forward and backward, for one block. With
// `low`, its larger products are in bfloat16, with sums in float32, on a CPU with AMX.
//
// Letters as in parameters.py: T time, B batch, n input rows, I input size, N memory slots,
// H heads, K key size, V head size, M = H V, F = H (2 K + V), G gate width, L MLP layers.
// ../README.md derives the equations.
//
// The batch is cut into slices. A thread takes a slice through all T steps, so the activations of a
// step stay in its cache and no thread waits for another. All memory comes from the caller.
// Matrices are row-major; `ld` is the distance between two rows.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

// ---------------------------------------------------------------------------------- vectors

#ifndef RRNN_WIDTH
#if defined(__AVX512F__)
#define RRNN_WIDTH 16
#elif defined(__AVX__)
#define RRNN_WIDTH 8
#else
#define RRNN_WIDTH 4
#endif
#endif

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__) && RRNN_WIDTH == 16
#define RRNN_AMX 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr int W = RRNN_WIDTH;  // floats in a vector: 16, 8 or 4, or 1 for scalar code
static_assert(W == 1 || W == 4 || W == 8 || W == 16, "RRNN_WIDTH must be 1, 4, 8 or 16");

typedef float vec __attribute__((vector_size(4 * W)));
typedef uint32_t bits __attribute__((vector_size(4 * W)));
typedef float unaligned_vec __attribute__((vector_size(4 * W), aligned(4), may_alias));

INLINE vec zero() { return vec{}; }
INLINE vec all(float x) { return x - vec{}; }  // x + vec{} would turn -0 into 0

// Access to a whole vector.
struct Whole {
  vec load(const float* p) const { return *reinterpret_cast<const unaligned_vec*>(p); }
  void store(float* p, vec x) const { *reinterpret_cast<unaligned_vec*>(p) = x; }
  vec kept(vec x) const { return x; }
};

// Access to the first `count` elements; the others read as zero.
struct First {
  int count;
#if RRNN_WIDTH == 16 && defined(__AVX512F__)
  __mmask16 mask() const { return static_cast<__mmask16>((1u << count) - 1); }
  vec load(const float* p) const { return _mm512_maskz_loadu_ps(mask(), p); }
  void store(float* p, vec x) const { _mm512_mask_storeu_ps(p, mask(), x); }
  vec kept(vec x) const { return _mm512_maskz_mov_ps(mask(), x); }
#else
  vec load(const float* p) const {
    vec x = zero();
    for (int i = 0; i < count; i++) x[i] = p[i];
    return x;
  }
  void store(float* p, vec x) const {
    for (int i = 0; i < count; i++) p[i] = x[i];
  }
  vec kept(vec x) const {  // zero in the other lanes
    for (int i = count; i < W; i++) x[i] = 0;
    return x;
  }
#endif
};

INLINE vec load(const float* p) { return Whole().load(p); }
INLINE void store(float* p, vec x) { Whole().store(p, x); }

// Call body(column, lanes) for each vector of n columns; the last may be a part of one.
template <class Body>
INLINE void columns(int64_t n, Body body) {
  int64_t c = 0;
  for (; c + W <= n; c += W) body(c, Whole());
  if (c < n) body(c, First{static_cast<int>(n - c)});
}

// Lane i: a[i] + a[i + S] where bit S of i is 0, else b[i - S] + b[i].
template <int S, int... I>
INLINE vec add_pairs(vec a, vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, ((I & S) ? W + I - S : I)...) +
         __builtin_shufflevector(a, b, ((I & S) ? W + I : I + S)...);
}

template <int S>
INLINE void add_pairs_of(vec* x) {
  if constexpr (S < W) {
    UNROLL for (int i = 0; i < W / (2 * S); i++) x[i] =
        add_pairs<S>(x[2 * i], x[2 * i + 1], std::make_integer_sequence<int, W>());
    add_pairs_of<2 * S>(x);
  }
}

// Lane i: the sum of the elements of x[i]. x is overwritten.
INLINE vec sum_each(vec* x) {
  add_pairs_of<1>(x);
  return x[0];
}

template <int S, int... I>
INLINE void exchange(vec& a, vec& b, std::integer_sequence<int, I...>) {
  const vec x = __builtin_shufflevector(a, b, ((I & S) ? W + I - S : I)...);
  b = __builtin_shufflevector(a, b, ((I & S) ? W + I : I + S)...);
  a = x;
}

// Swap lane i of x[j] with lane j of x[i].
template <int S = 1>
INLINE void transpose(vec* x) {
  if constexpr (S < W) {
    UNROLL for (int i = 0; i < W; i++) {
      if (!(i & S)) exchange<S>(x[i], x[i + S], std::make_integer_sequence<int, W>());
    }
    transpose<2 * S>(x);
  }
}

template <int S>
INLINE vec add_halves(vec x) {
  if constexpr (S == 0) return x;
  else return add_halves<S / 2>(add_pairs<S>(x, x, std::make_integer_sequence<int, W>()));
}

INLINE float sum(vec x) { return add_halves<W / 2>(x)[0]; }

// ---------------------------------------------------------------------------------- functions

// x = n ln 2 + r with |r| <= ln 2 / 2: returns exp(r) - 1, and 2^n in `scale`. |x| < 88.
// The polynomial is Cephes' expf. Relative error of exp: 8e-8.
INLINE vec exp_parts(vec x, vec& scale) {
  const vec magic = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  vec shifted = x * all(1.44269504f) + magic, n = shifted - magic;
  vec r = x - n * all(0.693359375f);
  r = r + n * all(2.12194440e-4f);
  vec p = all(1.9875691500e-4f);
  p = p * r + all(1.3981999507e-3f);
  p = p * r + all(8.3334519073e-3f);
  p = p * r + all(4.1665795894e-2f);
  p = p * r + all(1.6666665459e-1f);
  p = p * r + all(5.0000001201e-1f);
  scale = (vec)(((bits)shifted << 23) + (bits)all(1.0f));
  return p * (r * r) + r;
}

// NaN stays NaN in all of these.
INLINE vec at_most(vec x, float bound) { return x > all(bound) ? all(bound) : x; }
INLINE vec at_least(vec x, float bound) { return x < all(bound) ? all(bound) : x; }

// exp(x) for x <= 88; 1e-38 instead of anything smaller.
INLINE vec exp_of(vec x) {
  vec scale, part = exp_parts(at_least(x, -87.0f), scale);
  return part * scale + scale;
}

// Exactly 0 and 1 at -inf and inf: a gate can be closed for good.
INLINE vec sigmoid(vec x) {
  vec y = all(1.0f) / (all(1.0f) + exp_of(at_most(-x, 87.0f)));
  return x < all(-87.0f) ? zero() : y;
}

// Through exp(2 x) - 1, which keeps the relative precision of small x.
INLINE vec tanh_of(vec x) {
  vec scale, part = exp_parts(at_least(at_most(x + x, 20.0f), -20.0f), scale);
  vec y = part * scale + (scale - all(1.0f));
  return y / (y + all(2.0f));
}

// ---------------------------------------------------------------------------------- products

// A tile of a product, TILE_ROWS x TILE_VECTORS vectors, is held in registers.
#if RRNN_WIDTH == 16 || defined(__aarch64__)  // 32 registers
constexpr int TILE_ROWS = 6, TILE_VECTORS = 4;
#else
constexpr int TILE_ROWS = 6, TILE_VECTORS = 2;
#endif
constexpr int PANEL = TILE_VECTORS * W;  // columns of a tile
constexpr int DEPTH = 256;               // of a panel's piece that is multiplied at once

// A stack of `groups` matrices, `group` floats apart.
struct Rows {
  const float* at;
  int64_t ld;
  int64_t group = 0;
};

struct Output {
  float* at;
  int64_t ld;
  int64_t group = 0;
};

// What happens to a product x before it is stored, in this order. Rows are those of a group.
// None of these may be the output itself.
struct Epilogue {
  const float* bias = nullptr;     // x + bias, [columns]
  const float* squashed = nullptr; // x (1 - squashed^2), ld of the output
  const float* plus = nullptr;     // x + plus, [rows / plus_rows, columns]
  int64_t plus_ld = 0;
  int64_t plus_rows = 1;           // rows that share one of `plus`
  const float* positive = nullptr; // 0 where positive <= 0, ld of the output
  bool relu = false;
  bool add = false;                // to what the output holds
};

template <class Lanes>
INLINE vec finish(const Epilogue& e, vec x, int64_t row, int64_t column, int64_t ld, Lanes lanes) {
  const int64_t at = row * ld + column;
  if (e.bias) x += lanes.load(e.bias + column);
  if (e.squashed) {
    const vec s = lanes.load(e.squashed + at);
    x *= all(1.0f) - s * s;
  }
  if (e.plus) x += lanes.load(e.plus + row / e.plus_rows * e.plus_ld + column);
  if (e.positive) x = lanes.load(e.positive + at) > zero() ? x : zero();
  if (e.relu) x = x < zero() ? zero() : x;  // NaN stays NaN
  return x;
}

struct Tile {
  int64_t depth;
  const float* a;  // element (row, k) at a[row * a_row + k * a_k]
  int64_t a_row, a_k;
  const float* b;  // element (k, column) at b[k * b_k + column]
  int64_t b_k;
  float* c;
  int64_t c_ld;
  int tail;      // valid columns of the last vector, 0: all of them
  bool add;      // to what c holds
  bool last;     // no depth is left: apply the epilogue
  int64_t row, column;
};

template <int ROWS, int VECTORS>
void multiply(const Tile& t, const Epilogue& e) {
  vec sums[ROWS][VECTORS];
  const auto each = [&](auto body) {
    UNROLL for (int i = 0; i < ROWS; i++) {
      UNROLL for (int v = 0; v < VECTORS; v++) {
        if (v == VECTORS - 1 && t.tail) body(i, v, First{t.tail});
        else body(i, v, Whole());
      }
    }
  };
  UNROLL for (int i = 0; i < ROWS; i++) {
    UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] = zero();
  }
  const float *a = t.a, *b = t.b;
  for (int64_t k = 0; k < t.depth; k++) {
    vec x[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++) x[v] = load(b + v * W);
    UNROLL for (int i = 0; i < ROWS; i++) {
      const vec y = all(a[i * t.a_row]);
      UNROLL for (int v = 0; v < VECTORS; v++) sums[i][v] += y * x[v];
    }
    a += t.a_k;
    b += t.b_k;
  }
  each([&](int i, int v, auto lanes) {
    float* c = t.c + i * t.c_ld + v * W;
    vec x = sums[i][v];
    if (t.add) x += lanes.load(c);
    if (t.last) x = finish(e, x, t.row + i, t.column + v * W, t.c_ld, lanes);
    lanes.store(c, x);
  });
}

typedef void (*Multiply)(const Tile&, const Epilogue&);

template <int... I>
constexpr Multiply tile_kernel(int index, std::integer_sequence<int, I...>) {
  constexpr Multiply table[] = {multiply<I / TILE_VECTORS + 1, I % TILE_VECTORS + 1>...};
  return table[index];
}

INLINE Multiply kernel_of(int64_t rows, int64_t vectors) {
  return tile_kernel(static_cast<int>((rows - 1) * TILE_VECTORS + vectors - 1),
                     std::make_integer_sequence<int, TILE_ROWS * TILE_VECTORS>());
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t vectors_of(int64_t n) { return (n + W - 1) / W; }
INLINE int64_t padded(int64_t n) { return vectors_of(n) * W; }

// Call body(first row, rows) for each tile of rows, as equal as they can be.
template <class Body>
INLINE void tiles(int64_t rows, Body body) {
  const int64_t count = (rows + TILE_ROWS - 1) / TILE_ROWS;
  for (int64_t i = 0, r = 0; i < count; i++) {
    const int64_t n = (rows - r + count - i - 1) / (count - i);
    body(r, n);
    r += n;
  }
}

// Copy columns j to j + PANEL of a weight to their panel, [depth][vectors W]; columns that are
// missing become zero. The weight is [depth, count] or, transposed, [count, depth].
void pack_panel(const float* weight, bool transposed, int64_t count, int64_t depth, int64_t j,
                float* packed) {
  const int64_t width = least(PANEL, count - j), ld = padded(width);
  packed += j * depth;
  if (!transposed) {
    for (int64_t k = 0; k < depth; k++) {
      const float* from = weight + k * count + j;
      columns(width, [&](int64_t c, auto lanes) { store(packed + k * ld + c, lanes.load(from + c)); });
    }
    return;
  }
  for (int64_t c = 0; c < width; c += W) {
    columns(depth, [&](int64_t k, auto lanes) {
      vec x[W];
      for (int i = 0; i < W; i++) {
        x[i] = c + i < width ? lanes.load(weight + (j + c + i) * depth + k) : zero();
      }
      transpose(x);
      const int64_t rows = least(W, depth - k);
      for (int64_t i = 0; i < rows; i++) store(packed + (k + i) * ld + c, x[i]);
    });
  }
}

// Up to so many rows of all steps, packing the weights costs more than it saves.
constexpr int64_t FEW_ROWS = 96;
constexpr int SOME_OUTS = 8;  // rows of a weight's gradient that share the loads of an input

// ROWS rows of a against W rows of a weight, `at_once` of these at a time: as many sums as registers
// hold, and about as many streams as a cache has ways when the rows are a power of two apart.
template <int ROWS>
INLINE void dot_rows(const float* a, int64_t ld, const float* const* w, int64_t depth,
                     vec (*sums)[W]) {
  constexpr int at_once = W > 8 ? 8 : W < 4 ? W : 4;
  for (int first = 0; first < W; first += at_once) {
    vec s[ROWS][at_once];
    UNROLL for (int r = 0; r < ROWS; r++) {
      UNROLL for (int i = 0; i < at_once; i++) s[r][i] = zero();
    }
    columns(depth, [&](int64_t k, auto lanes) {
      vec x[ROWS];
      UNROLL for (int r = 0; r < ROWS; r++) x[r] = lanes.load(a + r * ld + k);
      UNROLL for (int i = 0; i < at_once; i++) {
        const vec y = lanes.load(w[first + i] + k);
        UNROLL for (int r = 0; r < ROWS; r++) s[r][i] += x[r] * y;
      }
    });
    UNROLL for (int r = 0; r < ROWS; r++) {
      UNROLL for (int i = 0; i < at_once; i++) sums[r][first + i] = s[r][i];
    }
  }
}

// output [rows, count] = epilogue(a [rows, depth] times weight [count, depth]'), for a few rows: no
// packing, and a weight is read once from memory.
void product_of_few(int64_t rows, int64_t count, int64_t depth, Rows a, const float* weight,
                    Output output, const Epilogue& e) {
  for (int64_t j = 0; j < count; j += W) {
    const int n = static_cast<int>(least(W, count - j));
    const float* w[W];
    for (int i = 0; i < W; i++) w[i] = weight + (j + (i < n ? i : n - 1)) * depth;
    for (int64_t r = 0; r < rows;) {
      const int64_t some = least(3, rows - r);
      const float* from = a.at + r * a.ld;
      vec sums[3][W];
      if (some == 3) dot_rows<3>(from, a.ld, w, depth, sums);
      else if (some == 2) dot_rows<2>(from, a.ld, w, depth, sums);
      else dot_rows<1>(from, a.ld, w, depth, sums);
      for (int64_t i = 0; i < some; i++, r++) {
        const vec x = sum_each(sums[i]);
        float* to = output.at + r * output.ld + j;
        if (n == W) store(to, finish(e, x, r, j, output.ld, Whole()));
        else First{n}.store(to, finish(e, x, r, j, output.ld, First{n}));
      }
    }
  }
}

// output [rows, count] = epilogue(a [rows, depth] times weight [depth, count]), likewise. Columns are
// cut so that the output stays in the first cache.
void product_back_of_few(int64_t rows, int64_t count, int64_t depth, Rows a, const float* weight,
                         Output output, const Epilogue& e) {
  constexpr int SOME = 8;  // rows of the weight that are summed before: also for less rounding
  const int64_t block = padded(4096 / rows);
  for (int64_t j = 0; j < count; j += block) {
    const int64_t width = least(block, count - j);
    for (int64_t k = 0; k < depth; k += SOME) {
      const int n = static_cast<int>(least(SOME, depth - k));
      const float* w[SOME];
      float x[FEW_ROWS][SOME];
      for (int i = 0; i < SOME; i++) w[i] = weight + (k + (i < n ? i : 0)) * count + j;
      for (int64_t r = 0; r < rows; r++) {
        for (int i = 0; i < SOME; i++) x[r][i] = i < n ? a.at[r * a.ld + k + i] : 0.0f;
      }
      columns(width, [&](int64_t c, auto lanes) {
        vec y[SOME];
        UNROLL for (int i = 0; i < SOME; i++) y[i] = lanes.load(w[i] + c);
        for (int64_t r = 0; r < rows; r++) {
          float* to = output.at + r * output.ld + j + c;
          const vec total = k > 0 || e.add ? lanes.load(to) : zero();
          vec sums[4];
          UNROLL for (int i = 0; i < 4; i++) {
            sums[i] = all(x[r][i]) * y[i] + all(x[r][i + 4]) * y[i + 4];
          }
          lanes.store(to, total + ((sums[0] + sums[1]) + (sums[2] + sums[3])));
        }
      });
    }
  }
  for (int64_t r = 0; r < rows; r++) {
    float* to = output.at + r * output.ld;
    columns(count, [&](int64_t c, auto lanes) {
      lanes.store(to + c, finish(e, lanes.load(to + c), r, c, output.ld, lanes));
    });
  }
}

// output [rows, count] = epilogue(a [rows, depth] times packed weight), for each group.
void product(int64_t groups, int64_t rows, int64_t count, int64_t depth, Rows a,
             const float* packed, Output output, const Epilogue& e) {
  for (int64_t k = 0; k < depth; k += DEPTH) {
    Tile tile;
    tile.depth = least(DEPTH, depth - k);
    tile.a_row = a.ld;
    tile.a_k = 1;
    tile.c_ld = output.ld;
    tile.add = e.add || k > 0;
    tile.last = k + tile.depth == depth;
    for (int64_t j = 0; j < count; j += PANEL) {
      const int64_t width = least(PANEL, count - j), vectors = vectors_of(width);
      tile.tail = static_cast<int>(width % W);
      tile.b_k = vectors * W;
      tile.b = packed + j * depth + k * tile.b_k;
      tile.column = j;
      for (int64_t g = 0; g < groups; g++) {
        tiles(rows, [&](int64_t r, int64_t n) {
          tile.a = a.at + g * a.group + r * a.ld + k;
          tile.c = output.at + g * output.group + r * output.ld + j;
          tile.row = r;
          kernel_of(n, vectors)(tile, e);
        });
      }
    }
  }
}

// Rows `begin` to `end` of d_weight [outs, ins] = d_out [rows, outs]' in [rows, ins], or `add` them,
// where the rows of `in` are those of all groups. For a few rows: each of d_weight is written once.
void weight_gradient_of_few(int64_t groups, int64_t rows, int64_t begin, int64_t end, int64_t outs,
                            int64_t ins, const float* d_out, Rows in, float* d_weight, bool add) {
  const int64_t each = rows / groups;
  const float* from[FEW_ROWS];
  for (int64_t r = 0; r < rows; r++) from[r] = in.at + r / each * in.group + r % each * in.ld;
  const auto some = [&](int64_t o, auto number) {
    constexpr int count = decltype(number)::value;
    columns(ins, [&](int64_t c, auto lanes) {
      float* to = d_weight + o * ins + c;
      vec totals[count];
      UNROLL for (int i = 0; i < count; i++) totals[i] = add ? lanes.load(to + i * ins) : zero();
      for (int64_t r = 0; r < rows; r++) {
        const vec x = lanes.load(from[r] + c);
        UNROLL for (int i = 0; i < count; i++) totals[i] += all(d_out[r * outs + o + i]) * x;
      }
      UNROLL for (int i = 0; i < count; i++) lanes.store(to + i * ins, totals[i]);
    });
  };
  int64_t o = begin;
  for (; o + SOME_OUTS <= end; o += SOME_OUTS) some(o, std::integral_constant<int, SOME_OUTS>());
  for (; o < end; o++) some(o, std::integral_constant<int, 1>());
}

// The same for many rows. `panel` has room for rows * PANEL floats.
void weight_gradient_of_many(int64_t groups, int64_t rows, int64_t begin, int64_t end, int64_t outs,
                             int64_t ins, const float* d_out, Rows in, float* d_weight, bool add,
                             float* panel) {
  const Epilogue nothing;
  const int64_t each = rows / groups;
  Tile tile;
  tile.depth = rows;
  tile.a_row = 1;
  tile.a_k = outs;
  tile.c_ld = ins;
  tile.add = add;
  tile.last = false;
  for (int64_t j = 0; j < ins; j += PANEL) {
    const int64_t width = least(PANEL, ins - j), vectors = vectors_of(width), ld = vectors * W;
    const bool is_panel = ld == in.ld && (groups == 1 || in.group == each * in.ld);
    if (!is_panel) {
      for (int64_t r = 0; r < rows; r++) {
        const float* from = in.at + r / each * in.group + r % each * in.ld + j;
        float* to = panel + r * ld;
        columns(width, [&](int64_t c, auto lanes) { store(to + c, lanes.load(from + c)); });
      }
    }
    tile.tail = static_cast<int>(width % W);
    tile.b = is_panel ? in.at : panel;
    tile.b_k = ld;
    tiles(end - begin, [&](int64_t o, int64_t n) {
      tile.a = d_out + begin + o;
      tile.c = d_weight + (begin + o) * ins + j;
      kernel_of(n, vectors)(tile, nothing);
    });
  }
}

// ---------------------------------------------------------------------------------- bfloat16
//
// A product of AMX adds to 16 x 16 sums in float32 the product of a tile of a, 16 rows of 32 numbers,
// and a tile of b, 16 columns of 32 numbers, whose row k has numbers 2 k and 2 k + 1 of each column.
// Both are 16 rows of 16 pairs of bfloat16. A matrix of tiles has those of 16 rows (or columns) side
// by side, and zeros where a row (or column) ends. Tiles of a may have anything in rows that are missing:
// their sums are not stored.

constexpr int SIDE = 16;            // rows of a tile, and pairs in each of them
constexpr int TILE = SIDE * SIDE;   // pairs; a pair takes the room of a float
constexpr int64_t BLOCK = 2 * SIDE;  // rows and columns of sums that are held in registers

INLINE int64_t tiles_of(int64_t n, int64_t size) { return (n + size - 1) / size; }
// Floats of a matrix of tiles, for `count` rows or columns.
INLINE int64_t tiled(int64_t count, int64_t depth) {
  return tiles_of(count, SIDE) * tiles_of(depth, 2 * SIDE) * TILE;
}

#ifdef RRNN_AMX

// Linux lets a process use the tile registers once it has asked.
bool may_use_tiles() {
  constexpr long ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18;
  static const bool granted = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
  return granted;
}

// While it exists, this thread's tile registers are eight tiles.
struct TileRegisters {
  bool used;
  explicit TileRegisters(bool use) : used(use) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } shapes;
    for (int i = 0; i < 8; i++) shapes.row_bytes[i] = 64, shapes.rows[i] = SIDE;
    if (!used) return;
    asm volatile("" ::"r"(&shapes) : "memory");  // some compilers' headers do not say what is read
    _tile_loadconfig(&shapes);
  }
  ~TileRegisters() {
    if (used) _tile_release();
  }
};

// Lane i: a[i] in the lower half, b[i] in the upper.
INLINE vec pairs(vec a, vec b) {
  const auto half = [](vec x) {
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x));
  };
  return (vec)_mm512_or_si512(half(a), _mm512_slli_epi32(half(b), 16));
}

// Numbers 2 i and 2 i + 1 of first and second, one after the other, in lane i.
INLINE vec neighbours(vec first, vec second) {
  return (vec)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}

// The first `count` numbers at p, of at most 16; zeros for the others.
INLINE vec load_some(const float* p, int64_t count) {
  return count >= W ? load(p) : count > 0 ? First{static_cast<int>(count)}.load(p) : zero();
}

// The tiles of rows [rows, depth], `ld` apart.
void tile_rows(const float* from, int64_t ld, int64_t rows, int64_t depth, float* tiles) {
  const int64_t across = tiles_of(depth, 2 * SIDE);
  for (int64_t r = 0; r < rows; r++) {
    const float* row = from + r * ld;
    float* to = tiles + r / SIDE * across * TILE + r % SIDE * SIDE;
    for (int64_t k = 0; k < depth; k += 2 * SIDE, to += TILE) {
      store(to, neighbours(load_some(row + k, depth - k), load_some(row + k + W, depth - k - W)));
    }
  }
}

// The tile at columns j and numbers k of a matrix whose columns are rows [count, depth].
INLINE void tile_transposed(const float* from, int64_t count, int64_t depth, int64_t j, int64_t k,
                            float* tile) {
  vec x[W];
  for (int64_t i = 0; i < SIDE; i++) {
    const float* row = from + (j + i) * depth + k;
    x[i] = j + i < count ? neighbours(load_some(row, depth - k), load_some(row + W, depth - k - W))
                         : zero();
  }
  transpose(x);  // only moves the pairs
  for (int64_t i = 0; i < SIDE; i++) store(tile + i * SIDE, x[i]);
}

// The tile at columns j and numbers k of a matrix whose numbers are rows: row(k) [count].
template <class Row>
INLINE void tile_columns(Row row, int64_t count, int64_t depth, int64_t j, int64_t k, float* tile) {
  for (int64_t i = 0; i < SIDE; i++) {
    const int64_t first = k + 2 * i, second = first + 1;
    const vec a = first < depth ? load_some(row(first) + j, count - j) : zero();
    const vec b = second < depth ? load_some(row(second) + j, count - j) : zero();
    store(tile + i * SIDE, pairs(a, b));
  }
}

// As pack_panel, to tiles.
void tile_panel(const float* weight, bool transposed, int64_t count, int64_t depth, int64_t j,
                float* tiles) {
  const int64_t across = tiles_of(depth, 2 * SIDE), end = least(count, j + PANEL);
  for (; j < end; j += SIDE) {
    for (int64_t k = 0; k < across; k++) {
      float* tile = tiles + (j / SIDE * across + k) * TILE;
      if (transposed) {
        tile_transposed(weight, count, depth, j, k * 2 * SIDE, tile);
      } else {
        tile_columns([&](int64_t i) { return weight + i * count; }, count, depth, j, k * 2 * SIDE,
                     tile);
      }
    }
  }
}

// sums [.., BLOCK] = A rows of `across` tiles times B columns of as many.
template <int A, int B>
void multiply_tiles(const float* a, const float* b, int64_t across, float* sums) {
  constexpr int64_t row = SIDE * sizeof(float), sums_row = BLOCK * sizeof(float);
  asm volatile("" ::: "memory");  // the compiler does not know that tiles are read from memory
  _tile_zero(0);
  if constexpr (B > 1) _tile_zero(1);
  if constexpr (A > 1) _tile_zero(2);
  if constexpr (A > 1 && B > 1) _tile_zero(3);
  for (int64_t k = 0; k < across; k++) {
    _tile_loadd(4, a + k * TILE, row);
    _tile_loadd(6, b + k * TILE, row);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (B > 1) {
      _tile_loadd(7, b + (across + k) * TILE, row);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (A > 1) {
      _tile_loadd(5, a + (across + k) * TILE, row);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (B > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, sums_row);
  if constexpr (B > 1) _tile_stored(1, sums + SIDE, sums_row);
  if constexpr (A > 1) _tile_stored(2, sums + SIDE * BLOCK, sums_row);
  if constexpr (A > 1 && B > 1) _tile_stored(3, sums + SIDE * BLOCK + SIDE, sums_row);
  asm volatile("" ::: "memory");
}

// The block at row r and column j of output [rows, count] = epilogue(a times b), of tiles.
INLINE void multiply_block(int64_t r, int64_t rows, int64_t j, int64_t count, int64_t across,
                           const float* a, const float* b, float* output, int64_t ld,
                           const Epilogue& e) {
  alignas(64) float sums[BLOCK * BLOCK];
  const bool two_rows = rows - r > SIDE, two_columns = count - j > SIDE;
  const auto multiply = two_rows ? two_columns ? multiply_tiles<2, 2> : multiply_tiles<2, 1>
                                 : two_columns ? multiply_tiles<1, 2> : multiply_tiles<1, 1>;
  multiply(a + r / SIDE * across * TILE, b, across, sums);
  for (int64_t i = 0; i < least(BLOCK, rows - r); i++) {
    float* to = output + (r + i) * ld + j;
    columns(least(BLOCK, count - j), [&](int64_t c, auto lanes) {
      vec x = lanes.load(sums + i * BLOCK + c);
      if (e.add) x += lanes.load(to + c);
      lanes.store(to + c, finish(e, x, r + i, j + c, ld, lanes));
    });
  }
}

// As `product`, of a weight in tiles; `tiles` has room for those of a.
void product_low(int64_t groups, int64_t rows, int64_t count, int64_t depth, Rows a,
                 const float* weight, Output output, const Epilogue& e, float* tiles) {
  const int64_t across = tiles_of(depth, 2 * SIDE);
  for (int64_t g = 0; g < groups; g++) {
    tile_rows(a.at + g * a.group, a.ld, rows, depth, tiles);
    for (int64_t j = 0; j < count; j += BLOCK) {
      for (int64_t r = 0; r < rows; r += BLOCK) {
        multiply_block(r, rows, j, count, across, tiles, weight + j / SIDE * across * TILE,
                       output.at + g * output.group, output.ld, e);
      }
    }
  }
}

// As weight_gradient_of_many. `tiles` has room for those of d_out, `panel` for two columns of them.
void weight_gradient_low(int64_t groups, int64_t rows, int64_t begin, int64_t end, int64_t outs,
                         int64_t ins, const float* d_out, Rows in, float* d_weight, bool add,
                         float* panel, float* tiles) {
  const int64_t each = rows / groups, across = tiles_of(rows, 2 * SIDE);
  Epilogue e;
  e.add = add;
  for (int64_t o = begin; o < end; o += SIDE) {
    for (int64_t k = 0; k < across; k++) {
      vec x[2][W];
      for (int half = 0; half < 2; half++) {
        for (int64_t i = 0; i < W; i++) {
          const int64_t r = k * 2 * SIDE + half * W + i;
          x[half][i] = r < rows ? load_some(d_out + r * outs + o, end - o) : zero();
        }
        transpose(x[half]);
      }
      float* tile = tiles + ((o - begin) / SIDE * across + k) * TILE;
      for (int64_t i = 0; i < SIDE; i++) store(tile + i * SIDE, neighbours(x[0][i], x[1][i]));
    }
  }
  const auto row = [&](int64_t r) { return in.at + r / each * in.group + r % each * in.ld; };
  for (int64_t j = 0; j < ins; j += BLOCK) {
    for (int64_t c = j; c < least(ins, j + BLOCK); c += SIDE) {
      for (int64_t k = 0; k < across; k++) {
        tile_columns(row, ins, rows, c, k * 2 * SIDE, panel + ((c - j) / SIDE * across + k) * TILE);
      }
    }
    for (int64_t o = begin; o < end; o += BLOCK) {
      multiply_block(o - begin, end - begin, j, ins, across, tiles, panel, d_weight + begin * ins,
                     ins, e);
    }
  }
}
#else
bool may_use_tiles() { return false; }
struct TileRegisters {
  explicit TileRegisters(bool) {}
};
void tile_panel(const float*, bool, int64_t, int64_t, int64_t, float*) {}
void product_low(int64_t, int64_t, int64_t, int64_t, Rows, const float*, Output, const Epilogue&,
                 float*) {}
void weight_gradient_low(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, const float*, Rows,
                         float*, bool, float*, float*) {}
#endif

// ---------------------------------------------------------------------------------- biases

// d_bias [outs] += sums over rows of d_out.
void bias_gradient(int64_t rows, int64_t outs, const float* d_out, float* d_bias) {
  columns(outs, [&](int64_t c, auto lanes) {
    vec sums[4] = {};  // four: an addition need not wait for the one before
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      UNROLL for (int i = 0; i < 4; i++) sums[i] += lanes.load(d_out + (r + i) * outs + c);
    }
    for (; r < rows; r++) sums[0] += lanes.load(d_out + r * outs + c);
    const vec total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    lanes.store(d_bias + c, lanes.load(d_bias + c) + total);
  });
}

// ---------------------------------------------------------------------------------- norms

constexpr float EPSILON = 1e-5f;

// x becomes (x - mean) / std and is handed to use(column, lanes, x); returns 1 / std.
template <class Use>
INLINE float normalise(float* x, int64_t n, Use use) {
  vec total = zero();
  columns(n, [&](int64_t c, auto lanes) { total += lanes.load(x + c); });
  const vec mean = all(sum(total) / static_cast<float>(n));
  vec squares = zero();
  columns(n, [&](int64_t c, auto lanes) {
    const vec d = lanes.kept(lanes.load(x + c) - mean);
    squares += d * d;
  });
  const float rstd = 1 / std::sqrt(sum(squares) / static_cast<float>(n) + EPSILON);
  columns(n, [&](int64_t c, auto lanes) {
    const vec normal = (lanes.load(x + c) - mean) * all(rstd);
    lanes.store(x + c, normal);
    use(c, lanes, normal);
  });
  return rstd;
}

// Gradient of the inputs [rows, n] of a norm from d, its outputs', and the normalised inputs. d_in
// may be d. Sums over rows are made of a few rows at a time: fewer stores, and less rounding.
INLINE void normalise_back(int64_t rows, const float* d, const float* normal, const float* rstd,
                           const float* weight, int64_t n, float* d_in, float* d_weight,
                           float* d_bias) {
  constexpr int64_t SOME = 16;
  for (int64_t first = 0; first < rows; first += SOME) {
    const int64_t end = least(rows, first + SOME);
    columns(n, [&](int64_t c, auto lanes) {
      vec weights = zero(), biases = zero();
      for (int64_t r = first; r < end; r++) {
        const vec y = lanes.load(d + r * n + c);
        weights += y * lanes.load(normal + r * n + c);
        biases += y;
      }
      lanes.store(d_weight + c, lanes.load(d_weight + c) + weights);
      lanes.store(d_bias + c, lanes.load(d_bias + c) + biases);
    });
    for (int64_t r = first; r < end; r++) {
      const float *y = d + r * n, *x = normal + r * n;
      vec total = zero(), weighted = zero();
      columns(n, [&](int64_t c, auto lanes) {
        const vec scaled = lanes.load(y + c) * lanes.load(weight + c);
        total += scaled;
        weighted += scaled * lanes.load(x + c);
      });
      const vec mean = all(sum(total) / static_cast<float>(n));
      const vec slope = all(sum(weighted) / static_cast<float>(n));
      columns(n, [&](int64_t c, auto lanes) {
        const vec scaled = lanes.load(y + c) * lanes.load(weight + c);
        lanes.store(d_in + r * n + c,
                    all(rstd[r]) * (scaled - mean - lanes.load(x + c) * slope));
      });
    }
  }
}

INLINE void scale_and_shift(const float* x, const float* weight, const float* bias, int64_t n,
                            float* out) {
  columns(n, [&](int64_t c, auto lanes) {
    lanes.store(out + c, lanes.load(x + c) * lanes.load(weight + c) + lanes.load(bias + c));
  });
}

}  // namespace

// ---------------------------------------------------------------------------------- interface

// The weights, in the order of recurrence.py. Those of the inputs act on the rows that are given,
// whether these are projected already or the projection is folded into the weights.
enum Name {
  INPUT_QKV_WEIGHT,    // [F, I]
  INPUT_QKV_BIAS,      // [F]
  INPUT_GATES_WEIGHT,  // [2 G, n I]
  INPUT_GATES_BIAS,    // [2 G], with all trained biases of the gates
  QKV_WEIGHT,          // [F, M]
  QKV_BIAS,            // [F]
  QKV_NORM_WEIGHT,     // [F]
  QKV_NORM_BIAS,       // [F]
  ATTENTION_NORM_WEIGHT,  // [M]
  ATTENTION_NORM_BIAS,    // [M]
  MLP_WEIGHT,          // [L, M, M]
  MLP_BIAS,            // [L, M]
  MLP_NORM_WEIGHT,     // [M]
  MLP_NORM_BIAS,       // [M]
  GATE_MEMORY_WEIGHT,  // [2 G, M]
  NAMES
};

struct Problem {
  int64_t steps, batch, rows, input_size, slots, heads, key_size, head_size, layers, gate_width;
  int64_t threads, keep_tape, low;  // low: products of many rows in bfloat16
  int64_t tape_floats, forward_floats, backward_floats;  // rrnn_measure fills them in
  double input_bias, forget_bias;  // constants of the gates
  // GOMP_parallel and omp_get_thread_num of the OpenMP library that PyTorch has loaded, or null
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned);
  int (*thread_number)();
  int (*thread_count)();
  const float* inputs;  // [T, B, n, I]
  const float* memory;  // [B, N, M]
  const float* weights[NAMES];
  float* memories;  // [T, B, N, M]
  float* tape;       // [tape_floats], written by forward and read by backward
  float* workspace;  // [forward_floats] or [backward_floats]
  const float* d_memories;  // of the output, or null
  const float* d_last;      // of the last memory, or null
  float* d_memory;  // null: not wanted
  float* d_inputs;  // likewise
  float* d_weights[NAMES];
};

namespace {
constexpr int64_t SLICE_ROWS = 96;     // rows of memory of a slice, so that a step stays in L2
constexpr int64_t GRADIENT_ROWS = 192;  // rows of the product that makes a weight's gradient
constexpr int64_t LOW_GRADIENT_ROWS = 1024;  // in bfloat16, where reading and writing the sums takes longer
constexpr int64_t ALIGNED = 16;        // floats, a cache line

// Hands out aligned pieces of a buffer; without a buffer it counts.
struct Room {
  float* base;
  int64_t used = 0;
  float* take(int64_t n) {
    float* piece = base == nullptr ? nullptr : base + used;
    used += (n + ALIGNED - 1) / ALIGNED * ALIGNED;
    return piece;
  }
};

struct Core : Problem {
  int64_t M, F, head_width, logits, answers, gate_inputs;  // logits: 2 G; answers: N + n rows
  int64_t slices, slice, chunk;  // slice: sequences; chunk: steps of one weight gradient
  bool packs;                    // the weights
  bool shares;  // the gradients of matrices: a thread makes some rows of them, for all slices

  explicit Core(const Problem& p) : Problem(p) {
    M = heads * head_size;
    head_width = 2 * key_size + head_size;
    F = heads * head_width;
    logits = 2 * gate_width;
    answers = slots + rows;
    gate_inputs = rows * input_size;
    const int64_t most = SLICE_ROWS < slots ? 1 : SLICE_ROWS / slots;
    const int64_t rounds = (batch + most * threads - 1) / (most * threads);
    slices = least(batch, rounds * threads);
    slice = (batch + slices - 1) / slices;
    packs = steps * batch * (slots > rows ? slots : rows) > FEW_ROWS;
    low = low && packs && may_use_tiles();
    const int64_t gradient_rows = low ? LOW_GRADIENT_ROWS : GRADIENT_ROWS;
    const int64_t each = low ? most_rows() : slice * slots;
    chunk = least(steps, (gradient_rows + each - 1) / each);
    shares = threads > 1 && slices <= threads && chunk == steps;
  }
  int64_t lanes(int64_t b) const { return padded(b * slots * heads); }
  // Rows of memory or of inputs, of a step of a slice.
  int64_t most_rows() const { return slice * (slots > rows ? slots : rows); }
  // Floats that hold the tiles of what is multiplied, at most.
  int64_t tiles(int64_t rows, int64_t depth) const { return low ? tiled(rows, depth) : 0; }
  // The first sequence of a slice: sizes differ by one at most.
  int64_t begin(int64_t s) const { return s * batch / slices; }

  static bool is_matrix(int name) {
    return name == INPUT_QKV_WEIGHT || name == INPUT_GATES_WEIGHT || name == QKV_WEIGHT ||
           name == MLP_WEIGHT || name == GATE_MEMORY_WEIGHT;
  }
  // Of a weight, in floats.
  int64_t size(int name) const {
    switch (name) {
      case INPUT_QKV_WEIGHT: return F * input_size;
      case INPUT_GATES_WEIGHT: return logits * gate_inputs;
      case INPUT_GATES_BIAS: return logits;
      case QKV_WEIGHT: return F * M;
      case MLP_WEIGHT: return layers * M * M;
      case MLP_BIAS: return layers * M;
      case GATE_MEMORY_WEIGHT: return logits * M;
      case ATTENTION_NORM_WEIGHT: case ATTENTION_NORM_BIAS: case MLP_NORM_WEIGHT:
      case MLP_NORM_BIAS: return M;
      default: return F;
    }
  }
};

// What one step of one slice of b sequences keeps for the backward pass.
struct Page {
  float *qkv, *qkv_rstd;            // [b N, F] normalised, [b N]
  float *inputs, *inputs_rstd;      // [b n, F] likewise, of the input's rows
  float* attention;                 // [N + n, lanes]: weights; a lane is a row and head that asks
  float *attended, *attended_rstd;  // [b N, M] normalised, [b N]
  float* hidden;                    // [L - 1, b N, M]: after the ReLU
  float *mixed, *mixed_rstd;        // [b N, M] normalised, [b N]
  float *gates, *candidate;         // [b N, 2 G] after the sigmoid, [b N, M] after the tanh

  Page(const Core& o, Room room, int64_t b) {
    const int64_t r = b * o.slots;
    qkv = room.take(r * o.F), qkv_rstd = room.take(r);
    inputs = room.take(b * o.rows * o.F), inputs_rstd = room.take(b * o.rows);
    attention = room.take(o.answers * o.lanes(b));
    attended = room.take(r * o.M), attended_rstd = room.take(r);
    hidden = room.take((o.layers - 1) * r * o.M);
    mixed = room.take(r * o.M), mixed_rstd = room.take(r);
    gates = room.take(r * o.logits), candidate = room.take(o.gate_width ? r * o.M : 0);
    floats = room.used;
  }
  int64_t floats;
};

// Weights as panels: transposed for the backward pass.
struct Packed {
  float *input_qkv, *input_gates, *qkv, *mlp, *gates;
  int64_t layer;  // floats of an MLP layer

  Packed(const Core& o, Room& room, bool back) {
    const auto floats = [&](int64_t outs, int64_t ins) {
      const int64_t count = back ? ins : outs, depth = back ? outs : ins;
      if (!o.packs) return int64_t{0};
      return o.low ? tiled(count, depth) : padded(count) * depth;
    };
    layer = floats(o.M, o.M);
    input_qkv = room.take(floats(o.F, o.input_size));
    input_gates = room.take(floats(o.logits, o.gate_inputs));
    qkv = room.take(floats(o.F, o.M));
    mlp = room.take(o.layers * layer);
    gates = room.take(floats(o.logits, o.M));
  }

  // This thread's share of the panels.
  void fill(const Core& o, bool back, int64_t thread) const {
    if (!o.packs) return;
    int64_t panels = 0;
    const auto pack = [&](const float* from, float* to, int64_t outs, int64_t ins) {
      const int64_t count = back ? ins : outs, depth = back ? outs : ins;
      for (int64_t j = 0; j < count; j += PANEL) {
        if (panels++ % o.threads == thread) {
          (o.low ? tile_panel : pack_panel)(from, !back, count, depth, j, to);
        }
      }
    };
    pack(o.weights[QKV_WEIGHT], qkv, o.F, o.M);
    for (int64_t l = 0; l < o.layers; l++) {
      pack(o.weights[MLP_WEIGHT] + l * o.M * o.M, mlp + l * layer, o.M, o.M);
    }
    pack(o.weights[GATE_MEMORY_WEIGHT], gates, o.logits, o.M);
    if (back && o.d_inputs == nullptr) return;
    pack(o.weights[INPUT_QKV_WEIGHT], input_qkv, o.F, o.input_size);
    pack(o.weights[INPUT_GATES_WEIGHT], input_gates, o.logits, o.gate_inputs);
  }
};

// Gain and bias of the qkv norm; those of queries have the factor K^-1/2 of the scores. And the
// bias of the gates with its constants.
struct Constants {
  float *weight, *bias, *gates;
  Constants(const Core& o, Room& room)
      : weight(room.take(o.F)), bias(room.take(o.F)), gates(room.take(o.logits)) {}
  static float scale(const Core& o, int64_t c) {
    return c % o.head_width < o.key_size ? 1 / std::sqrt(static_cast<float>(o.key_size)) : 1.0f;
  }
  void fill(const Core& o) const {
    for (int64_t c = 0; c < o.F; c++) {
      weight[c] = o.weights[QKV_NORM_WEIGHT][c] * scale(o, c);
      bias[c] = o.weights[QKV_NORM_BIAS][c] * scale(o, c);
    }
    for (int64_t c = 0; c < o.logits; c++) {
      const double constant = c < o.gate_width ? o.input_bias : o.forget_bias;
      gates[c] = o.weights[INPUT_GATES_BIAS][c] + static_cast<float>(constant);
    }
  }
};

// ---------------------------------------------------------------------------------- attention
//
// `rows` [b, N + n, F] has the normalised queries, keys and values of memory, then input. A lane is
// a memory row and a head, (sequence, slot, head) in this order; weights are [N + n, lanes], so a
// softmax is a few operations on whole vectors. Lanes beyond the last repeat it.

// Runs through lanes: the sequence, slot and head of each.
struct Lane {
  int64_t sequence = 0, slot = 0, head = 0;
  void next(const Core& o) {
    if (++head < o.heads) return;
    head = 0;
    if (++slot < o.slots) return;
    slot = 0;
    sequence++;
  }
};

// out[answer, lane] = left of the lane times right of the answer, over `width` elements.
// left: [b N, left_ld] with heads left_head apart, or for `asks` the queries in rows.
template <class Left>
INLINE void dots(const Core& o, int64_t b, Left left, const float* right, int64_t width,
                 float* out) {
  const int64_t count = b * o.slots * o.heads, lanes = o.lanes(b);
  Lane lane;
  for (int64_t first = 0; first < lanes; first += W) {
    const float *l[W], *r[W];
    for (int i = 0; i < W; i++) {
      l[i] = left(lane);
      r[i] = right + lane.sequence * o.answers * o.F + lane.head * o.head_width;
      if (first + i + 1 < count) lane.next(o);
    }
    for (int64_t answer = 0; answer < o.answers; answer++) {
      vec sums[W];
      UNROLL for (int i = 0; i < W; i++) sums[i] = zero();
      columns(width, [&](int64_t c, auto access) {
        UNROLL for (int i = 0; i < W; i++) sums[i] +=
            access.load(l[i] + c) * access.load(r[i] + answer * o.F + c);
      });
      store(out + answer * lanes + first, sum_each(sums));
    }
  }
}

// out of a lane = the sum over answers of weight times `from` of the answer, over `width` elements.
template <class Out>
INLINE void mix(const Core& o, int64_t b, const float* weights, const float* from, int64_t width,
                Out out) {
  const int64_t count = b * o.slots * o.heads, lanes = o.lanes(b);
  Lane lane;
  for (int64_t i = 0; i < count; i++, lane.next(o)) {
    const float* x = from + lane.sequence * o.answers * o.F + lane.head * o.head_width;
    float* to = out(lane);
    columns(width, [&](int64_t c, auto access) {
      vec total = zero();
      for (int64_t answer = 0; answer < o.answers; answer++) {
        total += all(weights[answer * lanes + i]) * access.load(x + answer * o.F + c);
      }
      access.store(to + c, total);
    });
  }
}

// The transpose of mix: out of an answer = the sum over lanes that ask it of weight times `from`.
template <class From, class Out>
INLINE void spread(const Core& o, int64_t b, const float* weights, From from, int64_t from_ld,
                   int64_t width, Out out) {
  const int64_t lanes = o.lanes(b);
  for (int64_t i = 0; i < b; i++) {
    for (int64_t answer = 0; answer < o.answers; answer++) {
      for (int64_t head = 0; head < o.heads; head++) {
        const float* x = from(Lane{i, 0, head});
        const float* w = weights + answer * lanes + i * o.slots * o.heads + head;
        float* to = out(i, answer, head);
        columns(width, [&](int64_t c, auto access) {
          vec total = zero();
          for (int64_t slot = 0; slot < o.slots; slot++) {
            total += all(w[slot * o.heads]) * access.load(x + slot * from_ld + c);
          }
          access.store(to + c, total);
        });
      }
    }
  }
}

void softmax(const Core& o, int64_t lanes, float* scores) {
  for (int64_t i = 0; i < lanes; i += W) {
    vec most = load(scores + i), total = zero();
    for (int64_t a = 1; a < o.answers; a++) {
      const vec x = load(scores + a * lanes + i);
      most = x > most ? x : most;
    }
    for (int64_t a = 0; a < o.answers; a++) {
      float* at = scores + a * lanes + i;
      const vec x = exp_of(load(at) - most);
      store(at, x);
      total += x;
    }
    const vec inverse = all(1.0f) / total;
    for (int64_t a = 0; a < o.answers; a++) {
      float* at = scores + a * lanes + i;
      store(at, load(at) * inverse);
    }
  }
}

// d, the gradient of the weights, becomes that of the scores.
void softmax_back(const Core& o, int64_t lanes, const float* weights, float* d) {
  for (int64_t i = 0; i < lanes; i += W) {
    vec total = zero();
    for (int64_t a = 0; a < o.answers; a++) {
      total += load(weights + a * lanes + i) * load(d + a * lanes + i);
    }
    for (int64_t a = 0; a < o.answers; a++) {
      float* at = d + a * lanes + i;
      store(at, load(weights + a * lanes + i) * (load(at) - total));
    }
  }
}

// The rows of all answers: gain and bias applied to what the page has.
void rows_of(const Core& o, int64_t b, const Page& page, const Constants& constants, float* rows) {
  for (int64_t i = 0; i < b; i++) {
    for (int64_t a = 0; a < o.answers; a++) {
      const float* x = a < o.slots ? page.qkv + (i * o.slots + a) * o.F
                                   : page.inputs + (i * o.rows + a - o.slots) * o.F;
      scale_and_shift(x, constants.weight, constants.bias, o.F, rows + (i * o.answers + a) * o.F);
    }
  }
}

// ---------------------------------------------------------------------------------- forward

// What a thread needs for one step forward of its slice.
struct ForwardScratch {
  float *page, *input_gates, *squashed, *rows, *attended, *mixed, *tiles;

  ForwardScratch(const Core& o, Room& room) {
    const int64_t b = o.slice, r = b * o.slots;
    page = o.keep_tape ? nullptr : room.take(Page(o, Room{nullptr}, b).floats);
    input_gates = room.take(b * o.logits);
    squashed = room.take(o.gate_width ? r * o.M : 0);
    rows = room.take(b * o.answers * o.F);
    attended = room.take(r * o.M);
    mixed = room.take(r * o.M);
    tiles = room.take(o.tiles(o.most_rows(), o.M > o.gate_inputs ? o.M : o.gate_inputs));
  }
};

// [b N, M]: the attention of a step, added to the memory and normalised, into page and scratch.
void attend(const Core& o, int64_t b, const Constants& constants, const float* memory, const Page& page,
            const ForwardScratch& s) {
  const int64_t F = o.F, M = o.M, R = b * o.slots;
  const float *weight = o.weights[ATTENTION_NORM_WEIGHT], *bias = o.weights[ATTENTION_NORM_BIAS];
  const auto answer = [&](float* x, float* row) {
    return normalise(x, F, [&](int64_t c, auto lanes, vec normal) {
      lanes.store(row + c,
                  normal * lanes.load(constants.weight + c) + lanes.load(constants.bias + c));
    });
  };
  for (int64_t i = 0; i < b; i++) {
    float* rows = s.rows + i * o.answers * F;
    for (int64_t n = 0; n < o.slots; n++) {
      const int64_t r = i * o.slots + n;
      page.qkv_rstd[r] = answer(page.qkv + r * F, rows + n * F);
    }
    for (int64_t n = 0; n < o.rows; n++) {
      const int64_t r = i * o.rows + n;
      page.inputs_rstd[r] = answer(page.inputs + r * F, rows + (o.slots + n) * F);
    }
  }
  const auto query = [&](const Lane& lane) {
    return s.rows + (lane.sequence * o.answers + lane.slot) * F + lane.head * o.head_width;
  };
  dots(o, b, query, s.rows + o.key_size, o.key_size, page.attention);
  softmax(o, o.lanes(b), page.attention);
  const auto value = [&](const Lane& lane) {
    return page.attended + (lane.sequence * o.slots + lane.slot) * M + lane.head * o.head_size;
  };
  mix(o, b, page.attention, s.rows + 2 * o.key_size, o.head_size, value);
  for (int64_t r = 0; r < R; r++) {
    float* x = page.attended + r * M;
    columns(M, [&](int64_t c, auto lanes) {
      lanes.store(x + c, lanes.load(x + c) + lanes.load(memory + r * M + c));
    });
    page.attended_rstd[r] = normalise(x, M, [&](int64_t c, auto lanes, vec normal) {
      lanes.store(s.attended + r * M + c, normal * lanes.load(weight + c) + lanes.load(bias + c));
    });
  }
}

// The next memory [b N, M] from the MLP's output in s.mixed and the gates.
void update(const Core& o, int64_t b, const float* memory, const Page& page,
            float* out) {
  const float *weight = o.weights[MLP_NORM_WEIGHT], *bias = o.weights[MLP_NORM_BIAS];
  const int64_t M = o.M, R = b * o.slots, G = o.gate_width;
  columns(R * o.logits, [&](int64_t c, auto lanes) {
    lanes.store(page.gates + c, sigmoid(lanes.load(page.gates + c)));
  });
  for (int64_t r = 0; r < R; r++) {
    float* x = page.mixed + r * M;
    const float *input_gate = page.gates + r * 2 * G, *forget_gate = input_gate + G;
    page.mixed_rstd[r] = normalise(x, M, [&](int64_t c, auto lanes, vec normal) {
      vec y = normal * lanes.load(weight + c) + lanes.load(bias + c);
      if (G > 0) {
        const vec i = G == 1 ? all(*input_gate) : lanes.load(input_gate + c);
        const vec f = G == 1 ? all(*forget_gate) : lanes.load(forget_gate + c);
        y = tanh_of(y);
        lanes.store(page.candidate + r * M + c, y);
        y = i * y + f * lanes.load(memory + r * M + c);
      }
      lanes.store(out + r * M + c, y);
    });
  }
}

// One step of b sequences from the first on.
void step_forward(const Core& o, int64_t t, int64_t first, int64_t b, const Packed& packed,
                  const Constants& constants, const Page& page, const ForwardScratch& s) {
  const int64_t M = o.M, F = o.F, R = b * o.slots, state = o.slots * M, I = o.input_size;
  const float* inputs = o.inputs + (t * o.batch + first) * o.rows * I;
  const float* memory = (t ? o.memories + (t - 1) * o.batch * state : o.memory) + first * state;
  float* out = o.memories + (t * o.batch + first) * state;

  const auto times = [&](int64_t rows, int64_t count, int64_t depth, const float* a,
                         const float* in_panels, const float* weight, float* to,
                         const Epilogue& e) {
    if (o.low) product_low(1, rows, count, depth, {a, depth}, in_panels, {to, count}, e, s.tiles);
    else if (o.packs) product(1, rows, count, depth, {a, depth}, in_panels, {to, count}, e);
    else product_of_few(rows, count, depth, {a, depth}, weight, {to, count}, e);
  };
  Epilogue e;
  e.bias = o.weights[INPUT_QKV_BIAS];
  times(b * o.rows, F, I, inputs, packed.input_qkv, o.weights[INPUT_QKV_WEIGHT], page.inputs, e);
  e.bias = o.weights[QKV_BIAS];
  times(R, F, M, memory, packed.qkv, o.weights[QKV_WEIGHT], page.qkv, e);
  if (o.gate_width) {
    e.bias = constants.gates;
    times(b, o.logits, o.gate_inputs, inputs, packed.input_gates, o.weights[INPUT_GATES_WEIGHT],
          s.input_gates, e);
    columns(R * M, [&](int64_t c, auto lanes) {
      lanes.store(s.squashed + c, tanh_of(lanes.load(memory + c)));
    });
    Epilogue gates;
    gates.plus = s.input_gates;
    gates.plus_ld = o.logits;
    gates.plus_rows = o.slots;
    times(R, o.logits, M, s.squashed, packed.gates, o.weights[GATE_MEMORY_WEIGHT], page.gates,
          gates);
  }
  attend(o, b, constants, memory, page, s);
  const float* x = s.attended;
  for (int64_t l = 0; l < o.layers; l++) {
    const bool last = l == o.layers - 1;
    Epilogue layer;
    layer.bias = o.weights[MLP_BIAS] + l * M;
    layer.relu = !last;
    layer.plus = last ? s.attended : nullptr;
    layer.plus_ld = M;
    float* y = last ? page.mixed : page.hidden + l * R * M;
    times(R, M, M, x, packed.mlp + l * packed.layer, o.weights[MLP_WEIGHT] + l * M * M, y, layer);
    x = y;
  }
  update(o, b, memory, page, out);
}

struct ForwardRoom {
  Packed packed;
  Constants constants;
  Room threads;
  int64_t each;  // floats of a thread

  ForwardRoom(const Core& o, Room room) : packed(o, room, false), constants(o, room), threads(room) {
    Room count{nullptr};
    ForwardScratch scratch(o, count);
    each = count.used;
  }
  int64_t floats(const Core& o) const { return threads.used + o.threads * each; }
};

void forward_thread(const Core& o, int64_t thread) {
  const ForwardRoom room(o, Room{o.workspace});
  Room own{o.workspace + room.threads.used + thread * room.each};
  const ForwardScratch scratch(o, own);
  const int64_t page_floats = Page(o, Room{nullptr}, o.slice).floats;
  const TileRegisters registers(o.low);
  for (int64_t s = thread; s < o.slices; s += o.threads) {
    const int64_t first = o.begin(s), b = o.begin(s + 1) - first;
    for (int64_t t = 0; t < o.steps; t++) {
      float* at = o.keep_tape ? o.tape + (s * o.steps + t) * page_floats : scratch.page;
      step_forward(o, t, first, b, room.packed, room.constants, Page(o, Room{at}, b), scratch);
    }
  }
}

void forward_pack(const Core& o, int64_t thread) {
  const ForwardRoom room(o, Room{o.workspace});
  room.packed.fill(o, false, thread);
  if (thread == 0) room.constants.fill(o);
}

// ---------------------------------------------------------------------------------- backward

// Gradients of the products' outputs, and their inputs where no tape has them, of one step of a
// slice: [steps of a chunk] of each.
struct Factors {
  float *qkv, *inputs, *input_gates, *gates, *mlp, *attended, *squashed;
  int64_t layer;  // floats from one MLP layer to the next

  Factors(const Core& o, Room& room) {
    const int64_t b = o.slice, r = b * o.slots, c = o.chunk;
    layer = c * r * o.M;
    qkv = room.take(c * r * o.F);
    inputs = room.take(c * b * o.rows * o.F);
    gates = room.take(c * r * o.logits);
    input_gates = o.slots == 1 ? gates : room.take(c * b * o.logits);
    mlp = room.take(o.layers * layer);
    attended = room.take(c * r * o.M);
    squashed = room.take(o.gate_width ? c * r * o.M : 0);
  }
};

struct BackwardScratch {
  Factors factors;
  float *d_memory, *kept, *d_attended, *rows, *scores, *panel, *tiles;

  BackwardScratch(const Core& o, Room& room) : factors(o, room) {
    const int64_t b = o.slice, r = b * o.slots, answers = b * o.answers;
    d_memory = room.take(r * o.M);
    kept = room.take(r * o.M);
    d_attended = room.take(r * o.M);
    rows = room.take(answers * o.F);
    scores = room.take(o.answers * o.lanes(b));
    const int64_t most = o.most_rows(), widest = o.F > o.logits ? o.F : o.logits;
    panel = room.take(o.low ? tiled(BLOCK, o.chunk * most) : o.chunk * most * PANEL);
    const int64_t out = o.tiles(most, widest), gradient = o.tiles(widest, o.chunk * most);
    tiles = room.take(out > gradient ? out : gradient);
  }
};

// A product with a weight [depth, count], or with its panels or tiles where there are any.
void product_back(const Core& o, int64_t groups, int64_t rows, int64_t count, int64_t depth, Rows a,
                  const float* packed, const float* weight, Output to, const Epilogue& e,
                  float* tiles) {
  if (o.low) {
    product_low(groups, rows, count, depth, a, packed, to, e, tiles);
    return;
  }
  if (o.packs) {
    product(groups, rows, count, depth, a, packed, to, e);
    return;
  }
  for (int64_t g = 0; g < groups; g++) {
    product_back_of_few(rows, count, depth, {a.at + g * a.group, a.ld}, weight,
                        {to.at + g * to.group, to.ld}, e);
  }
}

// From the gradient of the memory after the step, which d_memory and the output hold, to those of
// the gates' logits, of the MLP's norm's input (the last of d_mlp), and of the memory before the
// step by way of the forget gate (kept).
void gates_back(const Core& o, int64_t b, const float* d_out, const float* memory, const Page& page,
                const BackwardScratch& s, float* d_logits, float* d_mixed, float* const* d) {
  const int64_t M = o.M, R = b * o.slots, G = o.gate_width;
  for (int64_t r = 0; r < R; r++) {
    float *total = s.d_memory + r * M, *kept = s.kept + r * M, *mixed = d_mixed + r * M;
    if (d_out != nullptr) {
      columns(M, [&](int64_t c, auto lanes) {
        lanes.store(total + c, lanes.load(total + c) + lanes.load(d_out + r * M + c));
      });
    }
    if (G == 0) {
      columns(M, [&](int64_t c, auto lanes) {
        lanes.store(mixed + c, lanes.load(total + c));
        lanes.store(kept + c, zero());
      });
    } else {
      const float *input_gate = page.gates + r * 2 * G, *forget_gate = input_gate + G;
      const float *candidate = page.candidate + r * M, *before = memory + r * M;
      float *d_input = d_logits + r * 2 * G, *d_forget = d_input + G;
      vec input_total = zero(), forget_total = zero();
      columns(M, [&](int64_t c, auto lanes) {
        const vec x = lanes.load(total + c), y = lanes.load(candidate + c);
        const vec i = G == 1 ? all(*input_gate) : lanes.load(input_gate + c);
        const vec f = G == 1 ? all(*forget_gate) : lanes.load(forget_gate + c);
        const vec d_i = x * y * (i - i * i), d_f = x * lanes.load(before + c) * (f - f * f);
        lanes.store(kept + c, x * f);
        lanes.store(mixed + c, x * i * (all(1.0f) - y * y));
        if (G == 1) {
          input_total += d_i;
          forget_total += d_f;
        } else {
          lanes.store(d_input + c, d_i);
          lanes.store(d_forget + c, d_f);
        }
      });
      if (G == 1) {
        *d_input = sum(input_total);
        *d_forget = sum(forget_total);
      }
    }
  }
  normalise_back(R, d_mixed, page.mixed, page.mixed_rstd, o.weights[MLP_NORM_WEIGHT], M, d_mixed,
                 d[MLP_NORM_WEIGHT], d[MLP_NORM_BIAS]);
}

// From d_attended [b N, M], the gradient of memory plus attention, to those of the raw qkv.
void attend_back(const Core& o, int64_t b, const Constants& constants, const Page& page,
                 const BackwardScratch& s, float* d_qkv, float* d_inputs, float* const* d) {
  const int64_t F = o.F, M = o.M, K = o.key_size, R = b * o.slots;
  rows_of(o, b, page, constants, s.rows);
  const auto d_value = [&](const Lane& lane) {
    return s.d_attended + (lane.sequence * o.slots + lane.slot) * M + lane.head * o.head_size;
  };
  const auto query = [&](const Lane& lane) {
    return s.rows + (lane.sequence * o.answers + lane.slot) * F + lane.head * o.head_width;
  };
  const auto d_query = [&](const Lane& lane) {
    return d_qkv + (lane.sequence * o.slots + lane.slot) * F + lane.head * o.head_width;
  };
  const auto d_answer = [&](int64_t sequence, int64_t answer, int64_t head) {
    float* row = answer < o.slots ? d_qkv + (sequence * o.slots + answer) * F
                                  : d_inputs + (sequence * o.rows + answer - o.slots) * F;
    return row + head * o.head_width;
  };
  const auto d_key = [&](auto... of) { return d_answer(of...) + K; };
  const auto d_answer_value = [&](auto... of) { return d_answer(of...) + 2 * K; };
  dots(o, b, d_value, s.rows + 2 * K, o.head_size, s.scores);
  softmax_back(o, o.lanes(b), page.attention, s.scores);
  mix(o, b, s.scores, s.rows + K, K, d_query);
  spread(o, b, s.scores, query, F, K, d_key);
  spread(o, b, page.attention, d_value, M, o.head_size, d_answer_value);
  for (int64_t r = 0; r < b * o.rows; r++) {  // an input's row asks nothing
    for (int64_t h = 0; h < o.heads; h++) {
      float* x = d_inputs + r * F + h * o.head_width;
      columns(K, [&](int64_t c, auto lanes) { lanes.store(x + c, zero()); });
    }
  }
  normalise_back(R, d_qkv, page.qkv, page.qkv_rstd, constants.weight, F, d_qkv, d[QKV_NORM_WEIGHT],
                 d[QKV_NORM_BIAS]);
  normalise_back(b * o.rows, d_inputs, page.inputs, page.inputs_rstd, constants.weight, F, d_inputs,
                 d[QKV_NORM_WEIGHT], d[QKV_NORM_BIAS]);
}

// One step back of b sequences from the first on, the q-th of its chunk. s.d_memory becomes the
// gradient of the memory before the step.
void step_back(const Core& o, int64_t t, int64_t q, int64_t first, int64_t b, const Packed& packed,
               const Constants& constants, const Page& page, const BackwardScratch& s, float* const* d) {
  const int64_t M = o.M, F = o.F, R = b * o.slots, state = o.slots * M, L = o.layers;
  const float* memory = (t ? o.memories + (t - 1) * o.batch * state : o.memory) + first * state;
  const float* d_out = o.d_memories ? o.d_memories + (t * o.batch + first) * state : nullptr;
  const Factors& f = s.factors;
  const auto times = [&](int64_t count, int64_t depth, const float* a, const float* in_panels,
                         const float* weight, float* to, const Epilogue& e) {
    product_back(o, 1, R, count, depth, {a, depth}, in_panels, weight, {to, count}, e, s.tiles);
  };
  const float* mlp = o.weights[MLP_WEIGHT];
  float *d_logits = f.gates + q * R * o.logits, *d_mlp = f.mlp + q * R * M;
  float *attended = f.attended + q * R * M, *squashed = f.squashed + q * R * M;
  float *d_mixed = d_mlp + (L - 1) * f.layer, *d_qkv = f.qkv + q * R * F;

  gates_back(o, b, d_out, memory, page, s, d_logits, d_mixed, d);
  for (int64_t l = L - 1; l > 0; l--) {
    Epilogue e;
    e.positive = page.hidden + (l - 1) * R * M;
    times(M, M, d_mlp + l * f.layer, packed.mlp + l * packed.layer, mlp + l * M * M,
          d_mlp + (l - 1) * f.layer, e);
  }
  Epilogue residual;
  residual.plus = d_mixed;
  residual.plus_ld = M;
  times(M, M, d_mlp, packed.mlp, mlp, s.d_attended, residual);
  for (int64_t r = 0; r < R; r++) {
    scale_and_shift(page.attended + r * M, o.weights[ATTENTION_NORM_WEIGHT],
                    o.weights[ATTENTION_NORM_BIAS], M, attended + r * M);
  }
  normalise_back(R, s.d_attended, page.attended, page.attended_rstd,
                 o.weights[ATTENTION_NORM_WEIGHT], M, s.d_attended, d[ATTENTION_NORM_WEIGHT],
                 d[ATTENTION_NORM_BIAS]);
  columns(R * M, [&](int64_t c, auto lanes) {
    lanes.store(s.kept + c, lanes.load(s.kept + c) + lanes.load(s.d_attended + c));
  });
  attend_back(o, b, constants, page, s, d_qkv, f.inputs + q * b * o.rows * F, d);
  Epilogue ways;  // by which the memory before acts: kept, through the gates, through the attention
  ways.plus = s.kept;
  ways.plus_ld = M;
  const bool wanted = t > 0 || o.d_memory != nullptr;
  if (o.gate_width) {
    columns(R * M, [&](int64_t c, auto lanes) {
      lanes.store(squashed + c, tanh_of(lanes.load(memory + c)));
    });
    if (wanted) {
      ways.squashed = squashed;
      times(M, o.logits, d_logits, packed.gates, o.weights[GATE_MEMORY_WEIGHT], s.d_memory, ways);
      ways = Epilogue();
      ways.add = true;
    }
    if (o.slots > 1) {
      float* d_input = f.input_gates + q * b * o.logits;
      for (int64_t i = 0; i < b; i++) {
        columns(o.logits, [&](int64_t c, auto lanes) {
          vec total = zero();
          for (int64_t n = 0; n < o.slots; n++) {
            total += lanes.load(d_logits + (i * o.slots + n) * o.logits + c);
          }
          lanes.store(d_input + i * o.logits + c, total);
        });
      }
    }
  }
  if (wanted) times(M, F, d_qkv, packed.qkv, o.weights[QKV_WEIGHT], s.d_memory, ways);
}

// Gradients of matrices, added to what is there or the first, from the factors of steps t to
// t + count: the part-th of `parts` parts of their rows. `f` has the factors, of this thread or
// of another, and `own` the room for panels and tiles.
void weights_back(const Core& o, int64_t t, int64_t count, int64_t first, int64_t b,
                  const float* pages, int64_t page_floats, const Factors& f,
                  const BackwardScratch& own, float* const* d, bool add, int64_t part,
                  int64_t parts) {
  const int64_t M = o.M, F = o.F, R = b * o.slots, I = o.input_size, J = o.gate_inputs;
  const int64_t state = o.slots * M;
  const Page page(o, Room{const_cast<float*>(pages)}, b);
  const auto gradient = [&](int64_t groups, int64_t rows, int64_t outs, int64_t ins,
                            const float* d_out, Rows in, float* d_weight) {
    const auto edge = [&](int64_t k) {
      return k == parts ? outs : outs * k / parts / SOME_OUTS * SOME_OUTS;
    };
    const int64_t begin = edge(part), end = edge(part + 1);
    if (begin == end) return;
    rows *= groups;
    if (rows <= FEW_ROWS) {
      weight_gradient_of_few(groups, rows, begin, end, outs, ins, d_out, in, d_weight, add);
    } else if (o.low) {
      weight_gradient_low(groups, rows, begin, end, outs, ins, d_out, in, d_weight, add, own.panel,
                          own.tiles);
    } else {
      weight_gradient_of_many(groups, rows, begin, end, outs, ins, d_out, in, d_weight, add,
                              own.panel);
    }
  };
  for (int64_t l = 0; l < o.layers; l++) {
    const Rows in = l == 0 ? Rows{f.attended, M, R * M}
                           : Rows{page.hidden + (l - 1) * R * M, M, page_floats};
    gradient(count, R, M, M, f.mlp + l * f.layer, in, d[MLP_WEIGHT] + l * M * M);
  }
  const float* inputs = o.inputs + (t * o.batch + first) * J;
  gradient(count, b * o.rows, F, I, f.inputs, {inputs, I, o.batch * J}, d[INPUT_QKV_WEIGHT]);
  if (o.gate_width) {
    gradient(count, R, o.logits, M, f.gates, {f.squashed, M, R * M}, d[GATE_MEMORY_WEIGHT]);
    gradient(count, b, o.logits, J, f.input_gates, {inputs, J, o.batch * J},
             d[INPUT_GATES_WEIGHT]);
  }
  const int64_t others = t > 0 ? count : count - 1;  // steps whose memory before is an output
  const float* before = o.memories + ((t > 0 ? t - 1 : 0) * o.batch + first) * state;
  if (others > 0) {
    gradient(others, R, F, M, f.qkv + (count - others) * R * F, {before, M, o.batch * state},
             d[QKV_WEIGHT]);
    add = true;
  }
  if (others < count) {
    gradient(1, R, F, M, f.qkv, {o.memory + first * state, M}, d[QKV_WEIGHT]);
  }
}

// Gradients of biases, added to what is there, and of inputs, from the factors of steps t to
// t + count.
void inputs_back(const Core& o, int64_t t, int64_t count, int64_t first, int64_t b,
                 const Packed& packed, const BackwardScratch& s, float* const* d) {
  const Factors& f = s.factors;
  const int64_t M = o.M, F = o.F, R = b * o.slots, I = o.input_size, J = o.gate_inputs;
  const int64_t logits = o.logits, n = b * o.rows;
  for (int64_t l = 0; l < o.layers; l++) {
    bias_gradient(count * R, M, f.mlp + l * f.layer, d[MLP_BIAS] + l * M);
  }
  bias_gradient(count * n, F, f.inputs, d[INPUT_QKV_BIAS]);
  bias_gradient(count * R, F, f.qkv, d[QKV_BIAS]);
  if (o.gate_width) bias_gradient(count * b, logits, f.input_gates, d[INPUT_GATES_BIAS]);
  if (o.d_inputs == nullptr) return;
  float* to = o.d_inputs + (t * o.batch + first) * J;
  Epilogue e;
  product_back(o, count, n, I, F, {f.inputs, F, n * F}, packed.input_qkv,
               o.weights[INPUT_QKV_WEIGHT], {to, I, o.batch * J}, e, s.tiles);
  if (o.gate_width) {
    e.add = true;
    product_back(o, count, b, J, logits, {f.input_gates, logits, b * logits}, packed.input_gates,
                 o.weights[INPUT_GATES_WEIGHT], {to, J, o.batch * J}, e, s.tiles);
  }
}

struct BackwardRoom {
  Packed packed;
  Constants constants;
  Room threads;
  int64_t each;  // floats of a thread: its gradients, and its scratch

  BackwardRoom(const Core& o, Room room) : packed(o, room, true), constants(o, room), threads(room) {
    Room count{nullptr};
    for (int name = 0; name < NAMES; name++) count.take(own_floats(o, name));
    BackwardScratch scratch(o, count);
    each = count.used;
  }
  int64_t floats(const Core& o) const { return threads.used + o.threads * each; }

  // Of the gradient of a weight, for each thread.
  static int64_t own_floats(const Core& o, int name) {
    return o.shares && o.is_matrix(name) ? 0 : o.size(name);
  }
  // A thread's scratch, and in d where it sums gradients: the first one in the results.
  BackwardScratch of_thread(const Core& o, int64_t thread, float** d) const {
    Room own{o.workspace + threads.used + thread * each};
    for (int name = 0; name < NAMES; name++) {
      const int64_t n = own_floats(o, name);
      float* sums = own.take(n);
      d[name] = thread == 0 || n == 0 ? o.d_weights[name] : sums;
    }
    return BackwardScratch(o, own);
  }
};

void backward_thread(const Core& o, int64_t thread) {
  const BackwardRoom room(o, Room{o.workspace});
  float* d[NAMES];
  const BackwardScratch s = room.of_thread(o, thread, d);
  for (int name = 0; name < NAMES; name++) {
    if (o.size(name) && !o.is_matrix(name)) std::memset(d[name], 0, sizeof(float) * o.size(name));
  }
  bool add = false;
  const TileRegisters registers(o.low);
  const int64_t page_floats = Page(o, Room{nullptr}, o.slice).floats, state = o.slots * o.M;
  for (int64_t slice = thread; slice < o.slices; slice += o.threads) {
    const int64_t first = o.begin(slice), b = o.begin(slice + 1) - first;
    float* pages = o.tape + slice * o.steps * page_floats;
    const size_t bytes = sizeof(float) * b * state;
    if (o.d_last) std::memcpy(s.d_memory, o.d_last + first * state, bytes);
    else std::memset(s.d_memory, 0, bytes);
    for (int64_t end = o.steps; end > 0;) {
      const int64_t begin = end > o.chunk ? end - o.chunk : 0, count = end - begin;
      for (int64_t t = end - 1; t >= begin; t--) {
        const Page page(o, Room{pages + t * page_floats}, b);
        step_back(o, t, t - begin, first, b, room.packed, room.constants, page, s, d);
      }
      if (!o.shares) {
        weights_back(o, begin, count, first, b, pages + begin * page_floats, page_floats,
                     s.factors, s, d, add, 0, 1);
      }
      inputs_back(o, begin, count, first, b, room.packed, s, d);
      add = true;
      end = begin;
    }
    if (o.d_memory) std::memcpy(o.d_memory + first * state, s.d_memory, bytes);
  }
}

void backward_pack(const Core& o, int64_t thread) {
  const BackwardRoom room(o, Room{o.workspace});
  room.packed.fill(o, true, thread);
  if (thread == 0) room.constants.fill(o);
}

// This thread's rows of the gradients of matrices, from the factors of all slices.
void backward_share(const Core& o, int64_t thread) {
  const BackwardRoom room(o, Room{o.workspace});
  float* d[NAMES];
  const BackwardScratch own = room.of_thread(o, thread, d);
  const TileRegisters registers(o.low);
  const int64_t page_floats = Page(o, Room{nullptr}, o.slice).floats;
  for (int64_t slice = 0; slice < o.slices; slice++) {
    const int64_t first = o.begin(slice), b = o.begin(slice + 1) - first;
    const Factors factors = room.of_thread(o, slice, d).factors;
    weights_back(o, 0, o.steps, first, b, o.tape + slice * o.steps * page_floats, page_floats,
                 factors, own, d, slice > 0, thread, o.threads);
  }
}

// Add the other threads' gradients to the first one's, always in the same order. Then undo the
// factor in the gain and bias of the queries.
void backward_sum(const Core& o, int64_t thread) {
  const BackwardRoom room(o, Room{o.workspace});
  for (int64_t other = 1; other < o.threads; other++) {
    float* d[NAMES];
    room.of_thread(o, other, d);
    for (int name = 0; name < NAMES; name++) {
      const int64_t n = room.own_floats(o, name);
      const float* from = d[name];
      float* to = o.d_weights[name];
      const int64_t begin = n * thread / o.threads, end = n * (thread + 1) / o.threads;
      columns(end - begin, [&](int64_t c, auto lanes) {
        float* at = to + begin + c;
        lanes.store(at, lanes.load(at) + lanes.load(from + begin + c));
      });
    }
  }
  for (int64_t c = o.F * thread / o.threads; c < o.F * (thread + 1) / o.threads; c++) {
    o.d_weights[QKV_NORM_WEIGHT][c] *= Constants::scale(o, c);
    o.d_weights[QKV_NORM_BIAS][c] *= Constants::scale(o, c);
  }
}

// ---------------------------------------------------------------------------------- threads

typedef void (*Work)(const Core&, int64_t thread);

struct Job {
  const Core* core;
  Work work;
};

// A team may have fewer threads than were asked for: then each does the work of several.
void run_share(void* data) {
  const Job& job = *static_cast<const Job*>(data);
  const int64_t count = job.core->thread_count();
  for (int64_t k = job.core->thread_number(); k < job.core->threads; k += count) {
    job.work(*job.core, k);
  }
}

void run(const Core& o, Work work) {
  if (o.parallel == nullptr || o.threads == 1) {
    for (int64_t k = 0; k < o.threads; k++) work(o, k);
    return;
  }
  Job job{&o, work};
  o.parallel(run_share, &job, static_cast<unsigned>(o.threads), 0);
}

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

}  // namespace

extern "C" {

// Identifies the source: build.py gives its hash.
const char* rrnn_source() { return STRING(RRNN_SOURCE); }

// Instruction sets that the compiler was free to use, named as in /proc/cpuinfo.
const char* rrnn_features() {
  return ""
#ifdef __SSE4_2__
         "sse4_2 "
#endif
#ifdef __AVX__
         "avx "
#endif
#ifdef __AVX2__
         "avx2 "
#endif
#ifdef __FMA__
         "fma "
#endif
#ifdef __BMI2__
         "bmi2 "
#endif
#ifdef __AVX512F__
         "avx512f "
#endif
#ifdef __AVX512VL__
         "avx512vl avx512bw avx512dq "
#endif
#ifdef RRNN_AMX
         "avx512_bf16 amx_bf16 amx_tile "
#endif
      ;
}

// Whether `low` has an effect: in a library for a CPU with AMX, on a system that lets it be used.
int rrnn_multiplies_bfloat16() { return may_use_tiles(); }

// Fills in how much memory the caller must provide.
void rrnn_measure(Problem* problem) {
  const Core o(*problem);
  problem->tape_floats =
      o.keep_tape ? o.slices * o.steps * Page(o, Room{nullptr}, o.slice).floats : 0;
  problem->forward_floats = ForwardRoom(o, Room{nullptr}).floats(o);
  problem->backward_floats = BackwardRoom(o, Room{nullptr}).floats(o);
}

void rrnn_forward(const Problem* problem) {
  const Core o(*problem);
  run(o, forward_pack);
  run(o, forward_thread);
}

void rrnn_backward(const Problem* problem) {
  const Core o(*problem);
  run(o, backward_pack);
  run(o, backward_thread);
  if (o.shares) run(o, backward_share);
  run(o, backward_sum);
}
}
