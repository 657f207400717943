// Direct convolution with a kernel of KERNEL x KERNEL: the 5x5 layers, and the oracle of winograd.wgsl.

// What channel `input` adds to the tile at `place`, a row in each vector.
fn products(place: Place, input: u32) -> mat4x4<f32> {
    var sums = mat4x4<f32>();
    for (var kernel_row = 0u; kernel_row < KERNEL; kernel_row++) {
        // unroll tap: KERNEL
        let w$tap = parameters[weight_index(KERNEL * kernel_row + $tap, input, place.channel)];
        // end tap
        // Below 0 wraps around and so lies outside too.
        let row = place.row + kernel_row - REACH;
        let column = place.column - REACH;
        // unroll row: TILE
        let x$row = array<f32, PATCH>(
            // unroll column: PATCH
            source_or_zero(layer.in_channels, place.image, row + $row, column + $column, input),
            // end column
        );
        // unroll tap: KERNEL
        sums[$row] += w$tap * vec4<f32>(x$row[$tap], x$row[$tap + 1], x$row[$tap + 2], x$row[$tap + 3]);
        // end tap
        // end row
    }
    return sums;
}

// The output, with bias, ReLU and skip connection; or the gradient of the input, with that of the skip. A tile of one
// channel a thread.
@compute @workgroup_size(THREADS)
fn convolve(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    if index >= tiles(layer) * layer.out_channels {
        return;
    }
    let place = place_of(layer, layer.out_channels, index);
    var sums = mat4x4<f32>();
    for (var input = 0u; input < layer.in_channels; input++) {
        sums += products(place, input);
    }
    finish_tile(place, index, sums);
}

var<workgroup> partial: array<mat4x4<f32>, THREADS>;

// The same for many inputs and few outputs, with a workgroup for a tile of one channel: a sum for each thread, then a
// tree.
@compute @workgroup_size(THREADS)
fn convolve_to_few(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = group.y * workgroups.x + group.x;
    if index >= tiles(layer) * layer.out_channels {
        return;
    }
    let place = place_of(layer, layer.out_channels, index);
    var sums = mat4x4<f32>();
    for (var input = thread; input < layer.in_channels; input += THREADS) {
        sums += products(place, input);
    }
    partial[thread] = sums;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if thread < half {
            partial[thread] += partial[thread + half];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        finish_tile(place, index, partial[0]);
    }
}

@group(0) @binding(3) var<storage, read> output_gradient: array<f32>;

fn pieces() -> u32 {
    return (layer.images * layer.height + layer.rows_of_piece - 1u) / layer.rows_of_piece;
}

// The gradient of the weights from each piece, [pieces, weights]. A row of the kernel between two channels, and one
// piece, a thread.
@compute @workgroup_size(THREADS)
fn weight_gradient(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let points = layer.in_channels * layer.out_channels;
    let piece = index / (KERNEL * points);
    if piece >= pieces() {
        return;
    }
    let kernel_row = index / points % KERNEL;
    let input = index % points / layer.out_channels;
    let output = index % layer.out_channels;
    let first_row = piece * layer.rows_of_piece;
    let end_row = min(first_row + layer.rows_of_piece, layer.images * layer.height);
    var sums = array<f32, KERNEL>();
    for (var image_row = first_row; image_row < end_row; image_row++) {
        let image = image_row / layer.height;
        let row = image_row % layer.height;
        let x_row = row + kernel_row - REACH;
        if x_row >= layer.height {
            continue;
        }
        var row_sums = array<f32, KERNEL>();
        // The input around a column, up to REACH columns ahead of it.
        var window = array<f32, KERNEL>();
        for (var ahead = 0u; ahead < layer.width + REACH; ahead++) {
            // unroll tap: LAST_TAP
            window[$tap] = window[$tap + 1];
            // end tap
            window[KERNEL - 1u] = source_or_zero(layer.in_channels, image, x_row, ahead, input);
            if ahead >= REACH {
                let at = pixel_index(layer, layer.out_channels, image, row, ahead - REACH, output);
                let gradient = output_gradient[at];
                // unroll tap: KERNEL
                row_sums[$tap] += gradient * window[$tap];
                // end tap
            }
        }
        // unroll tap: KERNEL
        sums[$tap] += row_sums[$tap];
        // end tap
    }
    // unroll tap: KERNEL
    result[(piece * KERNEL * KERNEL + KERNEL * kernel_row + $tap) * points + index % points] = sums[$tap];
    // end tap
}

// Adds the sum of the pieces in `source`, [pieces, weights], to `result`, the arena of gradients.
@compute @workgroup_size(THREADS)
fn add_pieces(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let weights = KERNEL * KERNEL * layer.in_channels * layer.out_channels;
    if index >= weights {
        return;
    }
    var sum = 0.0;
    for (var piece = 0u; piece < pieces(); piece++) {
        sum += source[piece * weights + index];
    }
    result[layer.weights + index] += sum;
}
