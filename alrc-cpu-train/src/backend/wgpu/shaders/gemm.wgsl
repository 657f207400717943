// Batched matrix products C = A B, one for each z of the grid, tiled in workgroup memory and in registers.
//
// A workgroup computes BLOCK x BLOCK elements of C; each of its threads PER_THREAD x PER_THREAD of them, spread so that
// neighbouring threads meet neighbouring addresses. The sum over k is in the order of k, whatever the sizes.

struct Sizes {
    rows: u32,
    columns: u32,
    depth: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

// DEPTH rows of the operands' blocks: A's block is kept transposed.
var<workgroup> a_block: array<f32, BLOCK * DEPTH>;
var<workgroup> b_block: array<f32, BLOCK * DEPTH>;

@compute @workgroup_size(SIDE, SIDE)
fn multiply(
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) block: vec3<u32>,
) {
    let first_row = block.y * BLOCK;
    let first_column = block.x * BLOCK;
    let a_start = block.z * sizes.rows * sizes.depth;
    let b_start = block.z * sizes.depth * sizes.columns;
    var sums: array<array<f32, PER_THREAD>, PER_THREAD>;
    for (var first_k = 0u; first_k < sizes.depth; first_k += DEPTH) {
        for (var index = thread; index < BLOCK * DEPTH; index += SIDE * SIDE) {
            // Neighbouring threads read neighbouring addresses: along k in A, along rows in a transposed A.
            let a_k = select(index % DEPTH, index / BLOCK, A_IS_TRANSPOSED);
            let a_row = select(index / DEPTH, index % BLOCK, A_IS_TRANSPOSED);
            let k = first_k + a_k;
            let row = first_row + a_row;
            let a_index = select(row * sizes.depth + k, k * sizes.rows + row, A_IS_TRANSPOSED);
            var a_value = 0.0;
            if k < sizes.depth && row < sizes.rows {
                a_value = a[a_start + a_index];
            }
            a_block[a_k * BLOCK + a_row] = a_value;
            let b_k = first_k + index / BLOCK;
            let column = first_column + index % BLOCK;
            var b_value = 0.0;
            if b_k < sizes.depth && column < sizes.columns {
                b_value = b[b_start + b_k * sizes.columns + column];
            }
            b_block[index] = b_value;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            var b_values: array<f32, PER_THREAD>;
            for (var j = 0u; j < PER_THREAD; j++) {
                b_values[j] = b_block[k * BLOCK + j * SIDE + local.x];
            }
            for (var i = 0u; i < PER_THREAD; i++) {
                let a_value = a_block[k * BLOCK + i * SIDE + local.y];
                for (var j = 0u; j < PER_THREAD; j++) {
                    sums[i][j] += a_value * b_values[j];
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < PER_THREAD; i++) {
        for (var j = 0u; j < PER_THREAD; j++) {
            let row = first_row + i * SIDE + local.y;
            let column = first_column + j * SIDE + local.x;
            if row < sizes.rows && column < sizes.columns {
                c[(block.z * sizes.rows + row) * sizes.columns + column] = sums[i][j];
            }
        }
    }
}
