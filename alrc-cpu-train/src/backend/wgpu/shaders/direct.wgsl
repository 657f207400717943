// Direct convolution with a kernel of KERNEL x KERNEL: the 5x5 layers, and the oracle of winograd.wgsl.

const REACH = KERNEL / 2u;

// Where the weight of a tap from channel `input` to channel `output` lies; for the input gradient, whose input
// is the gradient of the output, rotated and transposed.
fn weight_index(tap: u32, input: u32, output: u32) -> u32 {
    let points = layer.in_channels * layer.out_channels;
    if layer.is_transposed == 1u {
        return layer.weights + (KERNEL * KERNEL - 1u - tap) * points + output * layer.in_channels + input;
    }
    return layer.weights + tap * points + input * layer.out_channels + output;
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
    var sums: array<f32, TILE * TILE>;
    for (var tap = 0u; tap < KERNEL * KERNEL; tap++) {
        // Below 0 wraps around and so lies outside too.
        let first_row = place.row + tap / KERNEL - REACH;
        let first_column = place.column + tap % KERNEL - REACH;
        for (var input = 0u; input < layer.in_channels; input++) {
            let w = parameters[weight_index(tap, input, place.channel)];
            for (var pixel = 0u; pixel < TILE * TILE; pixel++) {
                let row = first_row + pixel / TILE;
                let column = first_column + pixel % TILE;
                sums[pixel] += w * source_or_zero(layer.in_channels, place.image, row, column, input);
            }
        }
    }
    var passed = 0u;
    for (var pixel = 0u; pixel < TILE * TILE; pixel++) {
        passed |= finish(place, pixel, sums[pixel]);
    }
    if layer.has_relu == 1u {
        mask[index] = passed;
    }
}

@group(0) @binding(3) var<storage, read> output_gradient: array<f32>;

// The gradient of the weights from each image, [images, weights]. One weight
// and one image a thread.
@compute @workgroup_size(THREADS)
fn weight_gradient(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let points = layer.in_channels * layer.out_channels;
    let weights = KERNEL * KERNEL * points;
    if index >= layer.images * weights {
        return;
    }
    let image = index / weights;
    let tap = index % weights / points;
    let input = index % points / layer.out_channels;
    let output = index % layer.out_channels;
    var sum = 0.0;
    for (var row = 0u; row < layer.height; row++) {
        let x_row = row + tap / KERNEL - REACH;
        if x_row >= layer.height {
            continue;
        }
        var row_sum = 0.0;
        for (var column = 0u; column < layer.width; column++) {
            let x_column = column + tap % KERNEL - REACH;
            if x_column < layer.width {
                row_sum += source[pixel_index(layer, layer.in_channels, image, x_row, x_column, input)]
                    * output_gradient[pixel_index(layer, layer.out_channels, image, row, column, output)];
            }
        }
        sum += row_sum;
    }
    result[index] = sum;
}

// Adds the sum over the images of `source`, [images, weights], to `result`, the arena of gradients.
@compute @workgroup_size(THREADS)
fn add_images(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let weights = KERNEL * KERNEL * layer.in_channels * layer.out_channels;
    if index >= weights {
        return;
    }
    var sum = 0.0;
    for (var image = 0u; image < layer.images; image++) {
        sum += source[image * weights + index];
    }
    result[layer.weights + index] += sum;
}
