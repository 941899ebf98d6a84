"""Tool: finds problems in a folder of images before training (`classicnets data check`)."""
