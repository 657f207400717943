// Batched matrix products C = A B, one for each of the 36 points, tiled in workgroup memory and in registers.
//
// A workgroup of SIDE x SIDE threads computes a block of BLOCK x BLOCK elements of C, 4 x 4 a thread. It goes along k in
// steps of SIDE, so that a thread loads one vector of each operand in a step. `columns`, and the length of a row of A, are
// multiples of 4. The sum over k is cut into parts of `part` terms, each a product of its own, so that a long sum occupies
// the whole device: C is [parts, 36, rows, columns] until `add_parts` has made one of them.

struct Sizes {
    rows: u32,
    columns: u32,
    depth: u32,
    part: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

// C, of `add_parts`.
@group(0) @binding(1) var<storage, read_write> parts: array<vec4<f32>>;

// [k, row / 4] of a transposed A, else [row, k / 4]; and [k, column / 4]. Whole vectors are written: threads that write
// parts of one are in each other's way.
var<workgroup> a_block: array<vec4<f32>, SIDE * SIDE>;
var<workgroup> b_block: array<vec4<f32>, SIDE * SIDE>;

@compute @workgroup_size(SIDE * SIDE)
fn multiply(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    let x = thread % SIDE;
    let y = thread / SIDE;
    let point = block.z % 36u;
    let first_k = block.z / 36u * sizes.part;
    let end_k = min(first_k + sizes.part, sizes.depth);

    // What this thread loads of a step: of B, four columns of row `y`; the same of a transposed A, else four k of a row.
    let column = block.x * BLOCK + 4u * x;
    let b_start = point * sizes.depth * sizes.columns + column;
    let a_row = select(thread / QUADS, 4u * x, A_IS_TRANSPOSED);
    let a_k = select(4u * (thread % QUADS), y, A_IS_TRANSPOSED);
    let row = block.y * BLOCK + a_row;
    let a_start = point * sizes.depth * sizes.rows + select(row * sizes.depth, row, A_IS_TRANSPOSED);
    let a_stride = select(1u, sizes.rows, A_IS_TRANSPOSED);

    // Four rows of C.
    var sums = mat4x4<f32>();
    for (var k = first_k; k < end_k; k += SIDE) {
        var a_values = vec4<f32>();
        if k + a_k < end_k && row < sizes.rows {
            a_values = a[(a_start + (k + a_k) * a_stride) / 4u];
        }
        a_block[thread] = a_values;
        var b_values = vec4<f32>();
        if k + y < end_k && column < sizes.columns {
            b_values = b[(b_start + (k + y) * sizes.columns) / 4u];
        }
        b_block[thread] = b_values;
        workgroupBarrier();
        // unroll quad: QUADS
        // Of four k: their rows of a transposed A, else four k of each row.
        // unroll i: 4
        let a$quad_$i = a_block[select((4u * y + $i) * QUADS + $quad, (4u * $quad + $i) * SIDE + y, A_IS_TRANSPOSED)];
        // end i
        // unroll k: 4
        let b$quad_$k = b_block[(4u * $quad + $k) * SIDE + x];
        // unroll i: 4
        sums[$i] += select(a$quad_$i[$k], a$quad_$k[$i], A_IS_TRANSPOSED) * b$quad_$k;
        // end i
        // end k
        // end quad
        workgroupBarrier();
    }
    // unroll i: 4
    let row$i = block.y * BLOCK + 4u * y + $i;
    if row$i < sizes.rows && column < sizes.columns {
        c[((block.z * sizes.rows + row$i) * sizes.columns + column) / 4u] = sums[$i];
    }
    // end i
}

// Adds the parts up, in their order, into the first. A vector a thread.
@compute @workgroup_size(THREADS)
fn add_parts(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let vectors = 36u * sizes.rows * sizes.columns / 4u;
    if index >= vectors {
        return;
    }
    var sum = parts[index];
    for (var part = 1u; part * sizes.part < sizes.depth; part++) {
        sum += parts[part * vectors + index];
    }
    parts[index] = sum;
}
