// Classifies an image with the file of `classicnets export --format executorch`.
// Swift package: https://github.com/pytorch/executorch, branch swiftpm-1.5.1,
// products executorch, backend_xnnpack and kernels_optimized; linker flag -all_load.
import CoreGraphics
import ExecuTorch
import Foundation

final class Classifier {
  struct Preprocess: Decodable {
    let image_size: Int, resize: Int?, pad: Int, fit: String, background: String
    var side: Int { resize ?? image_size - 2 * pad }
  }

  struct Facts: Decodable {
    let classes: [String], preprocess: Preprocess
  }

  private let module: Module
  private let facts: Facts

  init(path: String) throws {
    module = Module(filePath: path)
    let text: String = try module.execute("metadata")[0].string! as String
    facts = try JSONDecoder().decode(Facts.self, from: Data(text.utf8))
  }

  /// Class name and probability of each class, the most probable first.
  func classify(_ image: CGImage) throws -> [(String, Float)] {
    let side = facts.preprocess.side
    let pixels = Tensor<UInt8>(bytes(of: image), shape: [1, side, side, 3])
    let probabilities: Tensor<Float> = try module.forward(pixels)
    return zip(facts.classes, probabilities.scalars()).sorted { $0.1 > $1.1 }
  }

  /// Red, green and blue of each pixel of the image, fitted as the network was trained: stretch, crop or letterbox.
  private func bytes(of image: CGImage) -> [UInt8] {
    let preprocess = facts.preprocess, side = preprocess.side
    let width = CGFloat(image.width), height = CGFloat(image.height), size = CGFloat(side)
    let scale = preprocess.fit == "crop" ? size / min(width, height) : size / max(width, height)
    let fitted = preprocess.fit == "stretch"
      ? CGSize(width: size, height: size) : CGSize(width: width * scale, height: height * scale)
    let area = CGRect(
      x: (size - fitted.width) / 2, y: (size - fitted.height) / 2, width: fitted.width, height: fitted.height)

    var rgba = [UInt8](repeating: 0, count: side * side * 4)
    rgba.withUnsafeMutableBytes { buffer in
      let context = CGContext(
        data: buffer.baseAddress, width: side, height: side, bitsPerComponent: 8, bytesPerRow: side * 4,
        space: CGColorSpace(name: CGColorSpace.sRGB)!, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
      context.interpolationQuality = .high  // averages when it shrinks
      context.setFillColor(CGColor(red: 0, green: 0, blue: 0, alpha: 1))
      context.fill(CGRect(x: 0, y: 0, width: size, height: size))
      context.setFillColor(color(preprocess.background))  // behind transparent parts
      context.fill(area)
      context.draw(image, in: area)
    }
    return (0..<side * side).flatMap { rgba[4 * $0..<4 * $0 + 3] }
  }

  /// The color of "#rrggbb".
  private func color(_ text: String) -> CGColor {
    let number = Int(text.dropFirst(), radix: 16) ?? 0
    let parts = [16, 8, 0].map { CGFloat((number >> $0) & 255) / 255 }
    return CGColor(red: parts[0], green: parts[1], blue: parts[2], alpha: 1)
  }
}
