// Loads a SavedModel by the call that TensorFlow Serving makes, and runs its signatures.
//
//     load_saved_model VERSION_DIR < REQUESTS
//
// prints a line for each input and output of each signature,
//
//     generate input seed int64 [?]
//
// and answers each line of REQUESTS,
//
//     SIGNATURE OUTPUT_PREFIX INPUT DTYPE SHAPE FILE [INPUT DTYPE SHAPE FILE ...]
//     generate out/0- seed int64 3 seeds.raw
//
// whose FILE holds the input's numbers as they are in memory, by a line "OUTPUT DTYPE SHAPE" for each
// output, with the values in the file OUTPUT_PREFIX + OUTPUT (strings: each after its length, as
// uint64), or by a line "error: STATUS". An empty line ends the list and each answer. It ends with 0
// if all could be answered, with 3 if not.

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/types.h"

namespace tf = tensorflow;

std::string shown(const tf::PartialTensorShape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.dims(); ++i) {
    const int64_t size = shape.dim_size(i);
    text += (i ? "," : "") + (size < 0 ? "?" : std::to_string(size));
  }
  return text + "]";
}

template <typename Arguments>
void list(const std::string& signature, const std::string& kind, const Arguments& arguments) {
  for (const auto& [name, info] : arguments) {
    std::cout << signature << " " << kind << " " << name << " "
              << tf::DataTypeString(info.dtype()) << " "
              << shown(tf::PartialTensorShape(info.tensor_shape())) << "\n";
  }
}

tf::Status read(const std::string& dtype_name, const std::string& shape_text,
                const std::string& path, tf::Tensor* tensor) {
  tf::DataType dtype;
  if (!tf::DataTypeFromString(dtype_name, &dtype)) {
    return tf::errors::InvalidArgument(dtype_name, " is no dtype");
  }
  tf::TensorShape shape;
  std::istringstream sizes(shape_text);
  for (std::string size; std::getline(sizes, size, ',');) shape.AddDim(std::stoll(size));
  *tensor = tf::Tensor(dtype, shape);
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  if (bytes.size() != tensor->tensor_data().size()) {
    return tf::errors::InvalidArgument(path, " does not hold ", dtype_name, " of ", shape_text);
  }
  std::copy(bytes.begin(), bytes.end(), static_cast<char*>(tensor->data()));
  return tf::OkStatus();
}

void write(const tf::Tensor& tensor, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  if (tensor.dtype() != tf::DT_STRING) {
    file.write(tensor.tensor_data().data(), tensor.tensor_data().size());
    return;
  }
  const auto* strings = static_cast<const tf::tstring*>(tensor.data());
  for (int64_t i = 0; i < tensor.NumElements(); ++i) {
    const uint64_t length = strings[i].size();
    file.write(reinterpret_cast<const char*>(&length), sizeof(length));
    file.write(strings[i].data(), length);
  }
}

tf::Status answer(const tf::SavedModelBundle& bundle, const std::string& request) {
  std::istringstream words(request);
  std::string signature_name, prefix, name, dtype, shape, path;
  words >> signature_name >> prefix;
  const auto found = bundle.GetSignatures().find(signature_name);
  if (found == bundle.GetSignatures().end()) {
    return tf::errors::NotFound("there is no signature ", signature_name);
  }
  const tf::SignatureDef& signature = found->second;
  std::vector<std::pair<std::string, tf::Tensor>> feeds;
  while (words >> name >> dtype >> shape >> path) {
    const auto input = signature.inputs().find(name);
    if (input == signature.inputs().end()) {
      return tf::errors::NotFound("there is no input ", name);
    }
    feeds.emplace_back(input->second.name(), tf::Tensor());
    TF_RETURN_IF_ERROR(read(dtype, shape, path, &feeds.back().second));
  }
  std::vector<std::string> names, fetches;
  for (const auto& [output, info] : signature.outputs()) {
    names.push_back(output);
    fetches.push_back(info.name());
  }
  std::vector<tf::Tensor> outputs;
  TF_RETURN_IF_ERROR(bundle.GetSession()->Run(feeds, fetches, {}, &outputs));
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::cout << names[i] << " " << tf::DataTypeString(outputs[i].dtype()) << " "
              << shown(tf::PartialTensorShape(outputs[i].shape())) << "\n";
    write(outputs[i], prefix + names[i]);
  }
  return tf::OkStatus();
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: load_saved_model VERSION_DIR < REQUESTS\n";
    return 2;
  }
  tf::SavedModelBundle bundle;
  // The server's defaults: no option of a session or of a run is set.
  const tf::Status loaded =
      tf::LoadSavedModel(tf::SessionOptions(), tf::RunOptions(), argv[1], {"serve"}, &bundle);
  if (!loaded.ok()) {
    std::cerr << loaded.ToString() << "\n";
    return 1;
  }
  for (const auto& [name, signature] : bundle.GetSignatures()) {
    list(name, "input", signature.inputs());
    list(name, "output", signature.outputs());
  }
  std::cout << "\n";
  int failed = 0;
  for (std::string request; std::getline(std::cin, request);) {
    const tf::Status status = answer(bundle, request);
    if (!status.ok()) {
      ++failed;
      std::string text = status.ToString();
      for (char& c : text) c = c == '\n' ? ' ' : c;
      std::cout << "error: " << text << "\n";
    }
    std::cout << std::endl;  // Flushed: should a request end the program, the ones before are shown.
  }
  return failed ? 3 : 0;
}
