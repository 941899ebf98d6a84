#!/usr/bin/env bash
# Build a release, try it in a fresh environment and tag it. Publishes and pushes nothing.
#
#   tools/release.sh --dry-run     report what is missing, build and try the release, set no tag
#   tools/release.sh               stop at the first thing that is missing; at the end set the tag
#
# Needs the development installation (`make check`). The files of the release are in build/release.
set -euo pipefail
cd "$(dirname "$0")/.."

dry_run=false
case "${1:-}" in
  "") ;;
  --dry-run) dry_run=true ;;
  *) echo "usage: tools/release.sh [--dry-run]" >&2; exit 2 ;;
esac
python="${PYTHON:-.venv/bin/python}"
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/classicnets/__init__.py)
tag="v$version"
release=build/release
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

missing() {
  echo "missing: $1" >&2
  $dry_run || exit 1
}

echo "== classicnets $version"
[ -z "$(git status --porcelain)" ] || missing "a clean working tree (git status)"
grep -Eq "^## ${version//./\\.} - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md \
  || missing "the line '## $version - YYYY-MM-DD' in CHANGELOG.md"
grep -qx "version: $version" CITATION.cff || missing "'version: $version' in CITATION.cff"
! git rev-parse -q --verify "refs/tags/$tag" >/dev/null || missing "a version without a tag ($tag exists)"

echo "== building"
rm -rf "$release"
"$python" -m build --outdir "$release" >"$fresh/build.log" 2>&1 || { cat "$fresh/build.log" >&2; exit 1; }
wheel="$release/classicnets-$version-py3-none-any.whl"
sdist="$release/classicnets-$version.tar.gz"
files=$("$python" -m zipfile -l "$wheel" | awk '{print $1}')
for file in classicnets/py.typed classicnets/locale/zh_CN/LC_MESSAGES/classicnets.mo classicnets/models/cards/lenet_d2l.md "classicnets-$version.dist-info/licenses/LICENSE"; do
  grep -qx "$file" <<<"$files" || { echo "the wheel lacks $file" >&2; exit 1; }
done
if grep -Eq '^(tests|benchmarks|studies|docs|examples)/' <<<"$files"; then
  echo "the wheel holds files outside of classicnets/" >&2
  exit 1
fi
ls -l "$wheel" "$sdist"

echo "== trying the wheel in a fresh environment"
"$python" -m venv "$fresh/venv"
"$fresh/venv/bin/python" -m pip install -q -c constraints.txt "$wheel"
(
  cd "$fresh"  # away from the sources
  installed=$(venv/bin/python -c "import classicnets; print(classicnets.__version__)")
  [ "$installed" = "$version" ] || { echo "the wheel installs version $installed" >&2; exit 1; }
  venv/bin/classicnets list >/dev/null
  venv/bin/classicnets show lenet_d2l >/dev/null
)

if $dry_run; then
  echo "== dry run: $tag is not set"
else
  git tag -a "$tag" -m "classicnets $version"
  echo "== $tag is set. Publish with: git push origin $tag; then upload the files of $release"
fi
