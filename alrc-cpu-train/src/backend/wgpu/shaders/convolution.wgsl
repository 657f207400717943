// Stands before the convolutions, of a kernel of KERNEL x KERNEL: their operands, and how they read and write a pixel.

@group(0) @binding(0) var<uniform> layer: Layer;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(0) @binding(3) var<storage, read> parameters: array<f32>;
@group(0) @binding(4) var<storage, read> skip: array<f32>;
@group(0) @binding(5) var<storage, read_write> mask: array<u32>;

const REACH = KERNEL / 2u;

// A value of `source`, which has `channels` channels; 0 outside the image, and in channels that it does not have.
fn source_or_zero(channels: u32, image: u32, row: u32, column: u32, channel: u32) -> f32 {
    if row < layer.height && column < layer.width && channel < channels {
        return source[pixel_index(layer, channels, image, row, column, channel)];
    }
    return 0.0;
}

// Where the weight of a tap from channel `input` to channel `output` lies; for the input gradient, whose input
// is the gradient of the output, rotated and transposed.
fn weight_index(tap: u32, input: u32, output: u32) -> u32 {
    let points = layer.in_channels * layer.out_channels;
    if layer.is_transposed == 1u {
        return layer.weights + (KERNEL * KERNEL - 1u - tap) * points + output * layer.in_channels + input;
    }
    return layer.weights + tap * points + input * layer.out_channels + output;
}

// Writes a pixel of a tile, if it lies in the image: the sum of products with bias, ReLU and skip connection. Returns its
// bit of the mask: whether its gradient passes.
fn finish_pixel(place: Place, pixel: u32, sum: f32) -> u32 {
    let row = place.row + pixel / TILE;
    let column = place.column + pixel % TILE;
    if row >= layer.height || column >= layer.width {
        return 0u;
    }
    var value = sum;
    if layer.is_forward == 1u {
        value += parameters[layer.bias + place.channel];
    }
    let passed = layer.has_relu == 0u || passes(value);
    if !passed {
        value = 0.0;
    }
    let at = pixel_index(layer, layer.out_channels, place.image, row, column, place.channel);
    if layer.has_skip == 1u {
        value += skip[at];
    }
    result[at] = value;
    return select(0u, 1u << pixel, passed);
}

// Writes the tile number `index`, of which `sums` has a row in each vector.
fn finish_tile(place: Place, index: u32, sums: mat4x4<f32>) {
    var passed = 0u;
    // unroll row: TILE
    // unroll column: TILE
    passed |= finish_pixel(place, $row * TILE + $column, sums[$row][$column]);
    // end column
    // end row
    if layer.is_forward == 1u {
        mask[index] = passed;
    }
}
