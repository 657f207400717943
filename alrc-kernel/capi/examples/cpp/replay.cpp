// The program of c/replay.c through alrc.hpp: the same bytes.
#include "alrc.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

using Parameters = std::map<std::string, double>;
using Batches = std::vector<std::vector<double>>;

static void read_parameters(const std::string &words, Parameters &parameters) {
    std::istringstream stream(words);
    for (std::string word; stream >> word;) {
        if (const auto equals = word.find('='); equals != std::string::npos) {
            parameters[word.substr(0, equals)] = std::strtod(word.c_str() + equals + 1, nullptr);
        }
    }
}

// The losses of each step.
static Batches read_batches(std::istream &trace) {
    Batches batches;
    std::string step, element, loss, rest, last;
    std::getline(trace, rest);  // the names of the columns
    while (std::getline(trace, rest)) {
        std::istringstream row(rest);
        std::getline(row, step, ',');
        std::getline(row, element, ',');
        std::getline(row, loss, ',');
        if (step != last) {
            batches.emplace_back();
            last = step;
        }
        batches.back().push_back(std::strtod(loss.c_str(), nullptr));
    }
    return batches;
}

template <class Real>
static alrc::Config<Real> config(const Parameters &parameters) {
    auto config = alrc::default_config<Real>();
    const auto set = [&parameters](const char *name, auto &field) {
        if (const auto found = parameters.find(name); found != parameters.end()) {
            field = static_cast<std::decay_t<decltype(field)>>(found->second);
        }
    };
    set("num_stddev", config.num_stddev);
    set("num_stddev_below", config.num_stddev_below);
    set("decay", config.decay1);
    set("decay", config.decay2);
    set("decay2", config.decay2);
    set("mu1_start", config.mu1_start);
    set("mu2_start", config.mu2_start);
    set("warm_up_steps", config.warm_up_steps);
    set("scaling", config.scaling);
    set("non_finite", config.non_finite);
    return config;
}

template <class Real>
static void replay(const Parameters &parameters, const Batches &batches, std::ostream &results) {
    const auto write = [&results](const auto *values, std::size_t len) {
        results.write(reinterpret_cast<const char *>(values), static_cast<std::streamsize>(len * sizeof *values));
    };
    const auto config = ::config<Real>(parameters);
    alrc::Alrc<Real> whole(config), parts(config), single(config);
    for (const auto &batch : batches) {
        const std::vector<Real> losses(batch.begin(), batch.end());
        const std::size_t len = losses.size(), half = len / 2;
        std::vector<Real> clipped(len), scales(len);

        // The whole batch in one call.
        const auto report = whole.step_batch(losses, clipped, scales);
        write(clipped.data(), len);
        write(scales.data(), len);
        write(&report.clipped, 1);
        write(&report.non_finite, 1);
        write(&report.largest_excess, 1);
        write(&report.limit, 1);
        write(&report.updated, 1);
        const Real moments[] = {whole.mu1(), whole.mu2()};
        write(moments, 2);

        // In two parts, the second in place, in a state that is saved and loaded between steps.
        const auto limits = parts.limits();
        auto sums = limits.clip(losses.data(), clipped.data(), scales.data(), half);
        std::copy(losses.begin() + static_cast<std::ptrdiff_t>(half), losses.end(), clipped.data() + half);
        sums += limits.clip(clipped.data() + half, clipped.data() + half, scales.data() + half, len - half);
        parts.update(sums);
        const auto snapshot = parts.save();
        parts = alrc::Alrc<Real>::load(snapshot);
        write(clipped.data(), len);
        write(scales.data(), len);
        write(snapshot.data(), snapshot.size());

        // One loss after the other.
        for (const Real loss : losses) {
            const auto one = single.step(loss);
            write(&one.loss, 1);
            write(&one.scale, 1);
        }
        const auto end = single.save();
        write(end.data(), end.size());
    }
}

// Errors are thrown with the status, and leave the state as it was.
static bool errors_are_thrown() {
    alrc::Alrc<double> alrc;
    const auto before = alrc.save();
    auto config = alrc::default_config<double>();
    config.decay1 = 1;
    std::vector<double> two(2), three(3);
    const auto thrown = [](auto call) {
        try {
            call();
        } catch (const alrc::Error &error) {
            return error.status();
        }
        return ALRC_OK;
    };
    return thrown([&] { alrc::Alrc<double>{config}; }) == ALRC_ERROR_DECAY1 &&
           thrown([&] { alrc.step_batch(two, two, three); }) == ALRC_ERROR_LENGTH &&
           thrown([&] { alrc.step_batch(two, three, two); }) == ALRC_ERROR_LENGTH &&
           thrown([&] { alrc::Alrc<float>::load(before); }) == ALRC_ERROR_SNAPSHOT_TYPE && alrc.save() == before;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        std::cerr << "usage: replay TRACE.csv RESULTS.bin [PARAMETER=VALUE ...]\n";
        return 2;
    }
    if (!errors_are_thrown()) {
        std::cerr << "replay: an error was not thrown\n";
        return 1;
    }
    std::ifstream trace(argv[1]);
    std::ofstream results(argv[2], std::ios::binary);
    std::string first;
    std::getline(trace, first);
    Parameters parameters;
    read_parameters(first, parameters);
    for (int i = 3; i < argc; i++) {
        read_parameters(argv[i], parameters);
    }
    const auto batches = read_batches(trace);
    try {
        replay<float>(parameters, batches, results);
        replay<double>(parameters, batches, results);
    } catch (const std::exception &error) {
        std::cerr << "replay: " << error.what() << '\n';
        return 1;
    }
    return results.flush() ? 0 : 1;
}
