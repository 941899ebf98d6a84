// Classifies a bitmap with the file of `classicnets export --format executorch`.
// Gradle: implementation("org.pytorch:executorch-android:1.5.1")
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.Rect
import org.json.JSONObject
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

class Classifier(path: String) {
    private val module = Module.load(path)
    private val facts = JSONObject(module.execute("metadata")[0].toStr())
    private val preprocess = facts.getJSONObject("preprocess")
    private val classes = facts.getJSONArray("classes")
    private val side =
        if (preprocess.isNull("resize")) preprocess.getInt("image_size") - 2 * preprocess.getInt("pad")
        else preprocess.getInt("resize")

    /** Class name and probability of each class, the most probable first. */
    fun classify(image: Bitmap): List<Pair<String, Float>> {
        val pixels = Tensor.fromBlobUnsigned(bytes(fit(image)), longArrayOf(1, side.toLong(), side.toLong(), 3))
        val probabilities = module.forward(EValue.from(pixels))[0].toTensor().dataAsFloatArray
        return probabilities.mapIndexed { i, p -> classes.getString(i) to p }.sortedByDescending { it.second }
    }

    /** Fits an image to side x side pixels as the network was trained: stretch, crop or letterbox. */
    private fun fit(image: Bitmap): Bitmap {
        val (width, height) = image.width to image.height
        val short = minOf(width, height)
        val long = maxOf(width, height)
        val source = when (preprocess.getString("fit")) {
            "crop" -> ((width - short) / 2).let { x -> ((height - short) / 2).let { y -> Rect(x, y, x + short, y + short) } }
            else -> Rect(0, 0, width, height)
        }
        val edge = if (preprocess.getString("fit") == "letterbox") long else 0
        val square = Bitmap.createBitmap(
            if (edge > 0) edge else source.width(), if (edge > 0) edge else source.height(), Bitmap.Config.ARGB_8888)
        val (left, top) = (square.width - source.width()) / 2 to (square.height - source.height()) / 2
        Canvas(square).apply {
            drawColor(Color.BLACK)
            val target = Rect(left, top, left + source.width(), top + source.height())
            if (image.hasAlpha()) { // transparent parts show the background of the training
                val color = Paint().apply { color = Color.parseColor(preprocess.getString("background")) }
                drawRect(target, color)
            }
            drawBitmap(image, source, target, null)
        }
        return shrink(square)
    }

    /** Halves before the last step, because createScaledBitmap reads only four pixels for each new one. */
    private fun shrink(image: Bitmap): Bitmap {
        var current = image
        while (current.width >= 2 * side && current.height >= 2 * side) {
            current = Bitmap.createScaledBitmap(current, current.width / 2, current.height / 2, true)
        }
        return Bitmap.createScaledBitmap(current, side, side, true)
    }

    /** Red, green and blue of each pixel, row by row. */
    private fun bytes(image: Bitmap): ByteArray {
        val colors = IntArray(side * side)
        image.getPixels(colors, 0, side, 0, 0, side, side)
        val bytes = ByteArray(3 * colors.size)
        colors.forEachIndexed { i, color ->
            bytes[3 * i] = Color.red(color).toByte()
            bytes[3 * i + 1] = Color.green(color).toByte()
            bytes[3 * i + 2] = Color.blue(color).toByte()
        }
        return bytes
    }
}
